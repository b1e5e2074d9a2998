#include "node/data_directory.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "base/testing/crash_file_system.h"
#include "base/testing/manual_executor.h"

namespace mokv {
namespace {

TEST(DataDirectory, KeepsWhoItBelongsTo) {
  CrashFileSystem files;
  std::string instance_id;
  {
    DataDirectory data(files, "data");
    ASSERT_TRUE(data.Open("n1").ok());
    instance_id = data.identity().instance_id;
    EXPECT_EQ(data.identity().cluster_id, "");
    ManualExecutor background;
    data.KeepClusterId("cluster-1", background);
    background.RunAll();
  }
  files.Restart();
  DataDirectory another(files, "data");
  EXPECT_EQ(another.Open("n2").code(), absl::StatusCode::kFailedPrecondition);
  files.Restart();
  DataDirectory again(files, "data");
  const absl::Status status = again.Open("n1");
  EXPECT_EQ(again.identity().instance_id, instance_id);
  EXPECT_EQ(again.identity().cluster_id, "cluster-1");
  // Goal: a member whose log is gone does not go on as if it had promised nothing.
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(status).find("its log is gone"), std::string_view::npos) << status;
}

// Goal: a node whose state was found to differ does not serve it again after a restart.
TEST(DataDirectory, IsRefusedOnceItIsFenced) {
  CrashFileSystem files;
  ManualExecutor background;
  {
    DataDirectory first(files, "data");
    ASSERT_TRUE(first.Open("n1").ok());
    first.KeepFence("its state at entry 1024 is not that of a majority (n2, n3)", background);
    background.RunAll();
  }
  SeededRandom random(1);
  files.PowerLoss(random);
  DataDirectory again(files, "data");
  const absl::Status status = again.Open("n1");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(status).find("entry 1024"), std::string_view::npos) << status;
  EXPECT_NE(MessageOf(status).find("mokvctl rebuild data"), std::string_view::npos) << status;
}

TEST(DataDirectory, IsOneProcessAlone) {
  CrashFileSystem files;
  DataDirectory first(files, "data");
  ASSERT_TRUE(first.Open("n1").ok());
  DataDirectory second(files, "data");
  const absl::Status status = second.Open("n1");
  EXPECT_FALSE(status.ok());
  EXPECT_NE(MessageOf(status).find("data-dir data"), std::string_view::npos) << status;
}

}  // namespace
}  // namespace mokv
