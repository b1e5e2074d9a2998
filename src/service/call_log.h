// CallLog: what becomes of finished calls: counted by method and code, and written to the request
// log and the audit log where that is wanted.
//
// Threads: OnCallFinished on the I/O threads, each with a table of its own; WriteMetrics on an HTTP
//          thread. Owner: must outlive the server's threads and the metrics page's last scrape.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rpc/server.h"
#include "telemetry/audit_log.h"
#include "telemetry/call_metrics.h"
#include "telemetry/request_log.h"

namespace mokv::service {

class CallLog final : public rpc::CallObserver {
 public:
  // Borrows the logs; `audit` may be null.
  explicit CallLog(telemetry::RequestLog& log, telemetry::AuditLog* audit = nullptr)
      : log_(log), audit_(audit) {}

  // Before the listener starts: the server's methods are known by now.
  void Prepare(const rpc::Server& server, size_t io_threads);

  void OnCallFinished(const rpc::CallRecord& record) override;
  void WriteMetrics(telemetry::MetricsWriter& writer) const;

 private:
  telemetry::RequestLog& log_;
  telemetry::AuditLog* const audit_;
  std::vector<std::string> methods_;  // The server's, and "unknown" at the end.
  std::vector<std::unique_ptr<telemetry::CallTable>> tables_;  // By I/O thread.
  std::vector<const telemetry::CallTable*> table_pointers_;
};

}  // namespace mokv::service
