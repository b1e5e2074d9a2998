#include "auth/lexer.h"

#include <array>
#include <charconv>
#include <system_error>

#include "auth/text.h"
#include "base/utf8.h"

namespace mokv::auth {
namespace {

// Longer ones first: the longest that fits is meant.
constexpr std::array<std::string_view, 18> kOperators = {
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "!", "(", ")", ",", ".", "="};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsNamePart(char c) {
  return c == '_' || IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// What a letter after a backslash stands for; the others stand for themselves.
char Unescaped(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    default:
      return c;
  }
}

}  // namespace

bool Lexer::Next(Token& token, std::string& reason) {
  while (at_ < text_.size() && kWhiteSpace.find(text_[at_]) != std::string_view::npos) ++at_;
  token = Token{.position = at_};
  if (at_ == text_.size()) return true;
  const char c = text_[at_];
  if (IsDigit(c)) return ReadNumber(token, reason);
  if (c == '"' || c == '\'') return ReadText(token, reason);
  if (!IsNamePart(c)) return ReadOperator(token, reason);
  const size_t start = at_;
  while (at_ < text_.size() && IsNamePart(text_[at_])) ++at_;
  token.kind = Token::Kind::kName;
  token.word = text_.substr(start, at_ - start);
  return true;
}

bool Lexer::ReadNumber(Token& token, std::string& reason) {
  const char* const begin = text_.data() + at_;
  const char* const end = text_.data() + text_.size();
  const auto [after, error] = std::from_chars(begin, end, token.number);
  const bool ends_well = after == end || !(IsNamePart(*after) || *after == '.');
  if (error != std::errc() || !ends_well) {
    reason = "a number that is none";
    return false;
  }
  token.kind = Token::Kind::kNumber;
  at_ += static_cast<size_t>(after - begin);
  return true;
}

bool Lexer::ReadText(Token& token, std::string& reason) {
  const char quote = text_[at_++];
  while (at_ < text_.size()) {
    const char c = text_[at_++];
    if (c == quote) {
      token.kind = Token::Kind::kText;
      return true;
    }
    if (c == '\\' && at_ < text_.size()) {
      token.text += Unescaped(text_[at_++]);
    } else {
      token.text += c;
    }
  }
  reason = "a text without its closing quote";
  return false;
}

bool Lexer::ReadOperator(Token& token, std::string& reason) {
  const std::string_view rest = text_.substr(at_);
  for (const std::string_view word : kOperators) {
    if (!rest.starts_with(word)) continue;
    if (word == "=") break;
    token.kind = Token::Kind::kOperator;
    token.word = rest.substr(0, word.size());
    at_ += word.size();
    return true;
  }
  if (rest.starts_with('[') || rest.starts_with(']')) {
    reason = "a list stands in round brackets here, as in r.sub in ('ann', 'ben')";
    return false;
  }
  reason = Quoted(rest.substr(0, 1)) +
           " is no operator; there are && || ! == != < <= > >= in + - * / ( ) ,";
  return false;
}

}  // namespace mokv::auth
