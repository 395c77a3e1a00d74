/// Paths by which engines are administered: who reaches them stops an engine, changes its weights, or
/// reads what other clients asked. Engines guard few of them with their own keys (vLLM's `--api-key`
/// covers `/v1`, `/v2` and `/inference` only), so the front door lets none of them pass by default.
///
/// Also here: what tells one client about all the others (`/metrics`, `/slots`, load reports).
/// Monitoring asks engines directly. Not here: inference, tokenizers, health, model lists, versions.
///
/// Compared with the path as it is forwarded, but as the most lenient server might read it: in any
/// case, percent-encoding decoded, empty segments and a slash at the end dropped, and without `;` and
/// what follows it in a segment. `RequestTarget` has refused dot segments and the like before.
package enum AdminPaths {
  /// Normalised. `*` at the end stands for anything, also for nothing more; `*` as a segment for one
  /// segment.
  static let patterns: [StaticString] = [
    // vLLM; several only with VLLM_SERVER_DEV_MODE, which people switch on for sleep mode.
    "/sleep", "/wake_up", "/is_sleeping", "/pause", "/resume", "/is_paused",
    "/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache", "/collective_rpc",
    "/scale_elastic_ep", "/is_scaling_elastic_ep", "/init_weight_transfer_engine",
    "/start_weight_update", "/finish_weight_update", "/get_world_size",
    "/load", "/v1/load_lora_adapter", "/v1/unload_lora_adapter",
    // vLLM and SGLang.
    "/server_info", "/start_profile", "/stop_profile", "/metrics*",
    // SGLang.
    "/get_server_info", "/get_load", "/v1/loads", "/flush_cache", "/abort_request",
    "/load_lora_adapter*", "/unload_lora_adapter", "/pause_generation", "/continue_generation",
    "/update_weight*", "/init_weight*", "/destroy_weights_update_group", "/send_weights*",
    "/get_weights_by_name", "/get_parameter_by_name", "/get_remote_instance*", "/weights_checker",
    "/remote_instance*", "/release_memory_occupation", "/resume_memory_occupation", "/slow_down",
    "/start_expert_distribution_record", "/stop_expert_distribution_record",
    "/dump_expert_distribution_record", "/configure_logging", "/set_internal_state",
    "/get_internal_state", "/set_trace_level", "/freeze_gc", "/open_session", "/close_session",
    "/clear_hicache_storage_backend", "/hicache/*", "/dumper/*",
    // TensorRT-LLM.
    "/release_memory", "/resume_memory", "/kv_cache_events", "/perf_metrics", "/prometheus*",
    "/steady_clock_offset",
    // Triton, also over gRPC.
    "/v2/repository/*", "/v2/systemsharedmemory/*", "/v2/cudasharedmemory/*", "/v2/logging",
    "/v2/trace/*", "/v2/models/*/trace/setting", "/v2/models/*/versions/*/trace/setting",
    "/inference.grpcinferenceservice/repository*",
    "/inference.grpcinferenceservice/systemsharedmemory*",
    "/inference.grpcinferenceservice/cudasharedmemory*",
    "/inference.grpcinferenceservice/tracesetting", "/inference.grpcinferenceservice/logsettings",
    // llama.cpp: /slots shows the prompts of all clients.
    "/slots*", "/lora-adapters", "/models/load", "/models/unload",
    // Ollama: they replace, copy and delete models.
    "/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs*",
  ]

  /// Reading is harmless, writing is not: llama.cpp changes its defaults by POST.
  static let writePatterns: [StaticString] = ["/props"]

  /// Longest part of a path that is compared. Bytes. No pattern is longer; names within one may be.
  static let comparedBytes = 192

  /// First bytes of patterns behind the slash, and for `/v1/` behind that: nearly all inference goes
  /// to other ones, and is done after one look (2 ns).
  private static let firsts = table(of: patterns + writePatterns, under: "/")
  private static let firstsV1 = table(of: patterns, under: "/v1/")

  private static func table(of patterns: [StaticString], under prefix: String) -> [Bool] {
    var table = [Bool](repeating: false, count: 256)
    for pattern in patterns where "\(pattern)".hasPrefix(prefix) {
      if prefix == "/", "\(pattern)".hasPrefix("/v1/") { continue }
      table[Int("\(pattern)".utf8.dropFirst(prefix.utf8.count).first ?? 0)] = true
    }
    // What may turn out to be another byte.
    for byte in [0x25, 0x2f, 0x3b] { table[byte] = true }
    return table
  }

  /// Whether the path may be one of them: false for most, in a few nanoseconds.
  @inline(__always)
  package static func isSuspect(_ path: UnsafeRawBufferPointer) -> Bool {
    guard path.count > 1 else { return false }
    if path.count > 4, path[1] == 0x76, path[2] == 0x31, path[3] == 0x2f {
      return firstsV1[Int(lower(path[4]))]
    }
    return firsts[Int(lower(path[1]))]
  }

  /// Whether the path is one of them.
  ///
  /// - Parameter reads: the method is GET or HEAD.
  package static func contains(_ path: UnsafeRawBufferPointer, reads: Bool) -> Bool {
    withNormalised(path) { text in
      guard text.count > 1 else { return false }
      return byFirst[Int(text[1])].contains { matches($0, text) }
        || (!reads && writePatterns.contains { matches($0, text) })
    }
  }

  /// Patterns by their first byte behind the slash: `/generate` is compared with a few instead of all.
  private static let byFirst: [[StaticString]] = {
    var index = [[StaticString]](repeating: [], count: 256)
    for pattern in patterns { index[Int(pattern.utf8Start[1])].append(pattern) }
    return index
  }()

  /// As the operator writes exceptions: the same spelling rules, `*` likewise.
  package static func matches(_ pattern: [UInt8], path: UnsafeRawBufferPointer) -> Bool {
    withNormalised(path) { text in pattern.withUnsafeBytes { matches($0, text) } }
  }

  private static func matches(_ pattern: StaticString, _ text: UnsafeRawBufferPointer) -> Bool {
    matches(
      UnsafeRawBufferPointer(start: pattern.utf8Start, count: pattern.utf8CodeUnitCount), text)
  }

  private static func matches(
    _ pattern: UnsafeRawBufferPointer, _ text: UnsafeRawBufferPointer
  ) -> Bool {
    var place = 0
    var position = 0
    while place < pattern.count {
      let wanted = pattern[place]
      if wanted == 0x2a {
        if place + 1 == pattern.count { return true }
        while position < text.count, text[position] != 0x2f { position += 1 }
        place += 1
        continue
      }
      if position == text.count {
        // The slash before a final star: `/hicache/*` is `/hicache` too.
        return wanted == 0x2f && place + 2 == pattern.count && pattern[place + 1] == 0x2a
      }
      guard text[position] == wanted else { return false }
      place += 1
      position += 1
    }
    return position == text.count
  }

  /// Calls with the path as the most lenient server reads it.
  static func withNormalised<R>(
    _ path: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> R
  ) -> R {
    withUnsafeTemporaryAllocation(byteCount: comparedBytes, alignment: 8) { out in
      var count = 0
      var position = 0
      var isParameter = false
      while position < path.count, count < comparedBytes {
        var byte = path[position]
        position += 1
        if byte == 0x25, position + 1 < path.count, let high = hex(path[position]),
          let low = hex(path[position + 1])
        {
          byte = high << 4 | low
          position += 2
        }
        if byte == 0x2f {
          isParameter = false
          if count > 0, out[count - 1] == 0x2f { continue }
        } else if isParameter {
          continue
        } else if byte == 0x3b {
          isParameter = true
          continue
        }
        out[count] = lower(byte)
        count += 1
      }
      while count > 1, out[count - 1] == 0x2f || out[count - 1] <= 0x20 { count -= 1 }
      return body(UnsafeRawBufferPointer(rebasing: out[..<count]))
    }
  }

  private static func hex(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46, 0x61...0x66: (byte | 0x20) - 0x57
    default: nil
    }
  }

  @inline(__always) private static func lower(_ byte: UInt8) -> UInt8 {
    (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
  }
}
