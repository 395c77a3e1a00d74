import JSON

/// What one engine has done so far, as vLLM's `/metrics` tells it.
struct MockMetrics {
  var stopped = 0
  var cutShort = 0
  var aborted = 0
  /// Answered by a `status` fault.
  var refused = 0
  var promptTokens = 0
  var generatedTokens = 0

  /// The cache of an engine without slots counts as full at so many requests: vLLM's default
  /// `max_num_seqs`.
  private static let unlimitedSlots = 256

  func text(_ engine: MockHandler.Engine) -> String {
    let label = "model_name=\(JSONText.quoted(engine.settings.models.first ?? "mock")),engine=\"0\""
    let slots = engine.settings.slots > 0 ? engine.settings.slots : Self.unlimitedSlots
    let usage = min(1, Double(engine.running) / Double(slots))
    var text = ""
    func family(_ name: String, _ type: String, _ help: String, _ samples: [(String, String)]) {
      text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
      for (more, value) in samples { text += "\(name){\(label)\(more)} \(value)\n" }
    }
    family(
      "vllm:num_requests_running", "gauge", "Requests that hold a slot.",
      [("", "\(engine.running)")])
    family(
      "vllm:num_requests_waiting", "gauge", "Requests that wait for a slot.",
      [("", "\(engine.waiting)")])
    // The newer and the older name of the same number.
    for name in ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"] {
      family(name, "gauge", "Share of the slots in use, 0 to 1.", [("", "\(usage)")])
    }
    family(
      "vllm:prompt_tokens_total", "counter", "Words of prompts.", [("", "\(promptTokens)")])
    family(
      "vllm:generation_tokens_total", "counter", "Tokens sent.", [("", "\(generatedTokens)")])
    family(
      "vllm:request_success_total", "counter", "Requests that ended, by how.",
      [
        (",finished_reason=\"stop\"", "\(stopped)"), (",finished_reason=\"length\"", "\(cutShort)"),
        (",finished_reason=\"abort\"", "\(aborted)"),
      ])
    family(
      "mock:refused_total", "counter", "Requests answered by a status fault.", [("", "\(refused)")])
    return text
  }
}
