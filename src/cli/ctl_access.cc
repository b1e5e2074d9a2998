#include "cli/ctl_access.h"

#include "api/cluster.pb.h"
#include "auth/authorizer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"
#include "cli/ctl_answer.h"

namespace mokv {
namespace {

// `policy` is what to call the policy that has the line.
int Show(CtlFormat format, const AccessQuestion& question, const auth::Decision& decision,
         const std::string& policy) {
  const int line = decision.line.value_or(0);
  if (format == CtlFormat::kJson) {
    PrintLine(
        fmt::format(R"({{"allowed":{},"subject":{},"object":{},"action":{},"rule":{},"line":{}}})",
                    decision.allowed, JsonString(question.subject), JsonString(question.object),
                    JsonString(question.action), JsonString(decision.text),
                    line == 0 ? "null" : std::to_string(line)));
  } else {
    PrintLine(
        Escaped(fmt::format("{}: {}{}", decision.allowed ? "allowed" : "denied",
                            line == 0 ? "" : fmt::format("{}:{}: ", policy, line), decision.text),
                ""));
  }
  return decision.allowed ? kCtlDone : kCtlRefused;
}

absl::StatusOr<std::shared_ptr<const auth::Authorizer>> Load(const std::string& model_file,
                                                             const std::string& policy_file) {
  FileSystem& files = PosixFileSystem();
  MOKV_ASSIGN_OR_RETURN(const std::string model, files.ReadFile(model_file));
  MOKV_ASSIGN_OR_RETURN(const std::string policy, files.ReadFile(policy_file));
  return auth::Authorizer::Create(model, model_file, policy, policy_file);
}

// Messages to a node carry text alone.
absl::Status CheckIsText(std::string_view what, std::string_view value) {
  if (IsUtf8(value)) return absl::OkStatus();
  return InvalidArgument(
      "{} {} is not UTF-8, and a node can be asked about text alone; ask files with --model and "
      "--policy",
      what, Quoted(value));
}

absl::Status CheckIsText(const AccessQuestion& question) {
  MOKV_RETURN_IF_ERROR(CheckIsText("SUBJECT", question.subject));
  MOKV_RETURN_IF_ERROR(CheckIsText("OBJECT", question.object));
  return CheckIsText("ACTION", question.action);
}

// To scripts kCtlRefused says that the rules deny it. Nothing was decided here.
int ComplainOfNoDecision(const absl::Status& status) {
  const int exit_status = CtlComplain(status);
  return exit_status == kCtlRefused ? kCtlUsage : exit_status;
}

}  // namespace

int CtlAclCheckFiles(CtlFormat format, const std::string& model_file,
                     const std::string& policy_file, const AccessQuestion& question) {
  const auto rules = Load(model_file, policy_file);
  if (!rules.ok()) return ComplainOfUsage(rules.status());
  return Show(format, question,
              (*rules)->Decide(question.subject, question.object, question.action), policy_file);
}

int CtlAclCheckNode(const CtlConnection& connection, CtlFormat format,
                    const AccessQuestion& question) {
  if (const absl::Status text = CheckIsText(question); !text.ok()) return ComplainOfUsage(text);
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  api::CheckAccessRequest request;
  request.set_subject(question.subject);
  request.set_object(question.object);
  request.set_action(question.action);
  const auto answer = ParseAnswer<api::CheckAccessResponse>(
      (*client)->Read("/api.Cluster/CheckAccess", request.SerializeAsString()));
  if (!answer.ok()) return ComplainOfNoDecision(answer.status());
  const auto line = static_cast<int>(answer->line());
  // The object as the node asks: with acl-object: any another one.
  return Show(format, {question.subject, answer->object(), question.action},
              {.allowed = answer->allowed(),
               .line = line == 0 ? std::nullopt : std::optional(line),
               .text = answer->rule()},
              "line");
}

}  // namespace mokv
