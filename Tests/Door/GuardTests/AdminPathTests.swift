import Testing

@testable import Guard

private func blocked(_ path: String, reads: Bool = false) -> Bool {
  Array(path.utf8).withUnsafeBytes { path in
    let contains = AdminPaths.contains(path, reads: reads)
    // The quick look may only ever say no where the long one does.
    if contains { #expect(AdminPaths.isSuspect(path)) }
    return contains
  }
}

/// Paths that administer an engine. What could break: one that a lenient server still reads as that
/// path, or a path of inference that is blocked with them.
@Suite struct AdminPathTests {
  @Test(arguments: [
    "/sleep", "/wake_up", "/is_sleeping", "/pause", "/resume", "/reset_prefix_cache",
    "/scale_elastic_ep", "/collective_rpc", "/v1/load_lora_adapter", "/v1/unload_lora_adapter",
    "/load_lora_adapter", "/server_info", "/get_server_info", "/get_load", "/load", "/metrics",
    "/flush_cache", "/abort_request", "/pause_generation", "/continue_generation",
    "/update_weights_from_disk", "/update_weights_from_tensor", "/update_weight_version",
    "/init_weights_update_group", "/release_memory_occupation", "/start_profile", "/slots",
    "/slots/3", "/lora-adapters", "/models/load", "/models/unload", "/v2/repository/index",
    "/v2/repository/models/m/load", "/v2/repository/models/m/unload",
    "/v2/systemsharedmemory/region/x/register", "/v2/cudasharedmemory/status", "/v2/logging",
    "/v2/trace/setting", "/v2/models/m/trace/setting", "/v2/models/m/versions/1/trace/setting",
    "/inference.GRPCInferenceService/RepositoryModelLoad",
    "/inference.GRPCInferenceService/SystemSharedMemoryRegister",
    "/inference.GRPCInferenceService/LogSettings", "/api/pull", "/api/delete", "/v1/loads",
    "/hicache", "/hicache/storage-backend",
  ])
  func areBlocked(path: String) {
    #expect(blocked(path))
  }

  @Test(arguments: [
    "/SLEEP", "/Sleep", "/sleep/", "/sleep//", "//sleep", "/sleep;x=1", "/;x/sleep", "/sl%65ep",
    "/sleep%2f", "/sleep%2F%2f", "/%73leep", "/sleep%20", "/sleep%09", "/v1%2fload_lora_adapter",
    "/V1/Load_LoRA_Adapter", "/v1//load_lora_adapter", "/v1/;a/load_lora_adapter",
    "/v1;a/load_lora_adapter/", "/v2/%72epository/index", "/metrics/", "/metrics/x",
    "/v2/models/a%20b/trace/setting", "/update_weights_from_disk/",
  ])
  func inEverySpelling(path: String) {
    #expect(blocked(path))
  }

  @Test(arguments: [
    "/", "", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models",
    "/v1/models/load_lora_adapter", "/v1/responses", "/v1/rerank", "/v1/score", "/v1/audio/speech",
    "/v2/models/m/infer", "/v2/models/m/generate_stream", "/v2/models/m", "/v2/models/m/ready",
    "/v2/health/live", "/v2", "/health", "/ping", "/version", "/tokenize", "/detokenize",
    "/generate", "/generate_stream", "/invocations", "/pooling", "/classify", "/rerank", "/score",
    "/get_model_info", "/completion", "/infill", "/apply-template", "/api/chat", "/api/tags",
    "/inference.GRPCInferenceService/ModelInfer", "/inference.GRPCInferenceService/ServerLive",
    "/loading", "/sleepy", "/a/sleep", "/info", "/v1/lo",
  ])
  func inferenceIsNot(path: String) {
    #expect(!blocked(path))
  }

  /// llama.cpp's settings may be read, not written.
  @Test func propsMayBeRead() {
    #expect(blocked("/props"))
    #expect(!blocked("/props", reads: true))
  }

  @Test func aLongPathIsNoWayPast() {
    let long = String(repeating: "x", count: 10_000)
    #expect(blocked("/v2/repository/models/\(long)/load"))
    #expect(blocked("/slots/\(long)"))
    #expect(!blocked("/v1/models/\(long)"))
  }

  @Test func exceptionsGoByTheSameSpelling() {
    let rule = AdminPathRule.block(except: [Array("/metrics".utf8)])
    func blocks(_ path: String) -> Bool {
      Array(path.utf8).withUnsafeBytes { rule.blocks($0, reads: true) }
    }
    #expect(!blocks("/metrics"))
    #expect(!blocks("/Metrics/"))
    #expect(blocks("/metrics/x"))
    #expect(blocks("/sleep"))
    #expect(!Array("/sleep".utf8).withUnsafeBytes { AdminPathRule.allow.blocks($0, reads: false) })
  }
}
