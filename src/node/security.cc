#include "node/security.h"

#include <chrono>
#include <future>
#include <utility>

#include "base/logging.h"
#include "base/status.h"
#include "node/gossip_keys.h"

namespace mokv {
namespace {

const std::string kCertificates = "certificates";
const std::string kRules = "access rules";
const std::string kKeys = "gossip keys";

}  // namespace

absl::StatusOr<std::unique_ptr<Security>> Security::Create(const Config& config,
                                                           const Clock& clock) {
  std::unique_ptr<Security> security(new Security(config, clock));
  MOKV_RETURN_IF_ERROR(security->Load());
  return security;
}

absl::Status Security::Load() {
  const Config& config = config_;
  if (!config.insecure) {
    reloading_.Watch(kCertificates, {config.server_tls_cert_file, config.server_tls_key_file,
                                     config.server_tls_ca_file, config.server_tls_crl_file,
                                     config.peer_tls_cert_file, config.peer_tls_key_file,
                                     config.peer_tls_ca_file});
  }
  reloading_.Watch(kRules, {config.acl_model_file, config.acl_policy_file});
  reloading_.Watch(kKeys, {config.serf_keyring_file});
  MOKV_ASSIGN_OR_RETURN(tls_, SetUpTls(config));
  TellWarnings();
  MOKV_ASSIGN_OR_RETURN(access_texts_, ReadAccessFiles(config));
  MOKV_ASSIGN_OR_RETURN(std::shared_ptr<const auth::Authorizer> rules,
                        CompileAccess(config, access_texts_));
  access_ = std::make_unique<auth::Access>(std::move(rules), config.io_threads);
  return absl::OkStatus();
}

absl::Status Security::OpenAudit() {
  const Config& config = config_;
  const bool audits = !config.audit_log_file.empty();
  if (audits) {
    MOKV_ASSIGN_OR_RETURN(audit_, telemetry::AuditLog::Open({.path = config.audit_log_file,
                                                             .bytes_max = config.audit_log_bytes}));
    audit_thread_ = std::make_unique<net::Worker>("audit-log");
    audit_thread_->Post([log = audit_.get()] {
      while (log->DrainOnce(std::chrono::seconds(1))) {
      }
    });
  }
  permission_ = std::make_unique<service::Permission>(
      *access_, service::Permission::Options{.object_is_any = config.acl_object == AclObject::kAny,
                                             .audit = audits ? config.audit : AuditScope::kNone});
  forward_check_ = std::make_unique<service::ForwardCheck>(*permission_, audit_.get());
  return absl::OkStatus();
}

Security::~Security() {
  files_thread_.reset();
  EndAudit();
}

void Security::EndAudit() {
  if (audit_ == nullptr) return;
  audit_->Close();
  audit_thread_->Stop();
}

peer::PeerTls Security::peer_tls() const {
  return {.outgoing = tls_.peer, .incoming = tls_.server, .allowed_names = tls_.peer_allowed_names};
}

void Security::BeginReloading(Users users) {
  users_ = std::move(users);
  reloading_.SetLoad(kCertificates, [this] { return ReloadTls(); });
  reloading_.SetLoad(kRules, [this] { return ReloadRules(); });
  reloading_.SetLoad(kKeys, [this] { return ReloadKeys(); });
  files_thread_ = std::make_unique<net::Worker>("reload");
}

bool Security::EndReloading(Duration wait_max) {
  if (files_thread_ == nullptr) return true;
  ending_ = true;  // What waits looks at nothing any more.
  auto idle = std::make_shared<std::promise<void>>();
  const std::future<void> is_idle = idle->get_future();
  files_thread_->Post([idle] { idle->set_value(); });
  if (is_idle.wait_for(wait_max) != std::future_status::ready) return false;
  files_thread_->Stop();
  return true;
}

void Security::LookAtFiles(bool asked) {
  if (asked && audit_ != nullptr) audit_->Reopen();
  // One that waits serves all that come before it begins; one that has begun may have looked already.
  std::atomic<bool>& is_posted = asked ? asked_look_posted_ : look_posted_;
  if (is_posted.exchange(true)) return;
  files_thread_->Post([this, asked, &is_posted] {
    is_posted = false;
    if (ending_) return;
    reloading_.Look(asked);
    TellWarnings();
  });
}

// Some come with time alone: certificates expire, lists fall due.
void Security::TellWarnings() {
  std::set<std::string> warnings = WarningsOf(tls_);
  for (const std::string& warning : warnings) {
    if (!warned_.contains(warning)) LogWarn(warning);
  }
  warned_ = std::move(warnings);
}

// Connections that come from now on get the new certificates first; then those that are there are
// looked at once more, so that none is forgotten.
absl::Status Security::ReloadTls() {
  MOKV_ASSIGN_OR_RETURN(TlsSetup fresh, SetUpTls(config_, &tls_));
  tls_ = std::move(fresh);
  users_.listener->SetTls(tls_.server);
  users_.server->CloseDistrusted([server = tls_.server](const net::Transport& transport) {
    return transport.VerifyAgain(*server);
  });
  users_.replica_thread->Post([peers = users_.peers, tls = peer_tls()]() mutable {
    if (const auto alive = peers.lock()) alive->SetTls(std::move(tls));
  });
  return absl::OkStatus();
}

// The same rules once more would be others for calls that go on for some time.
absl::Status Security::ReloadRules() {
  MOKV_ASSIGN_OR_RETURN(AccessTexts texts, ReadAccessFiles(config_));
  if (texts == access_texts_) return absl::OkStatus();
  MOKV_ASSIGN_OR_RETURN(std::shared_ptr<const auth::Authorizer> rules,
                        CompileAccess(config_, texts));
  access_texts_ = std::move(texts);
  access_->Replace(std::move(rules));
  return absl::OkStatus();
}

absl::Status Security::ReloadKeys() {
  MOKV_ASSIGN_OR_RETURN(std::vector<std::string> keys, LoadGossipKeys(config_));
  return users_.gossip->SetKeys(std::move(keys));
}

}  // namespace mokv
