// The words of an expression (auth/expression.h).
//
// Threads: confined; borrows the text.
#pragma once

#include <string>
#include <string_view>

namespace mokv::auth {

struct Token {
  enum class Kind { kEnd, kName, kNumber, kText, kOperator };

  Kind kind = Kind::kEnd;
  size_t position = 0;
  std::string_view word;  // A name, or an operator; brackets, commas and dots are operators here.
  double number = 0;
  std::string text;  // A text without its quotes.
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  // Reads the next word into `token`. False, with a reason, when there is none that is well-formed;
  // `token.position` says where. At the end it gives kEnd.
  bool Next(Token& token, std::string& reason);

 private:
  bool ReadNumber(Token& token, std::string& reason);
  bool ReadText(Token& token, std::string& reason);
  bool ReadOperator(Token& token, std::string& reason);

  const std::string_view text_;
  size_t at_ = 0;
};

}  // namespace mokv::auth
