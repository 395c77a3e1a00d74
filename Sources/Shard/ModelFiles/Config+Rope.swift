import Glibc
import JSON
import ShardPlan

/// Rotary positions, in both generations of keys: `rope_theta` with `rope_scaling` at the top, and
/// transformers 5's `rope_parameters`.
extension Config {
  func rope(context: Int) throws(ModelComplaint) -> ModelShape.Rope {
    let old = try reader.object("rope_scaling")
    let new = try reader.object("rope_parameters")
    if old != nil, new != nil, reader["rope_scaling"] != reader["rope_parameters"] {
      throw reader.refuse(
        "'rope_scaling' and 'rope_parameters' differ; remove the one that is not meant")
    }
    let parameters = new ?? old
    // A file saved by transformers 5 has no theta at the top. Falling back to 10,000 would answer
    // nonsense for most models, so one of the two has to be there.
    guard
      let owner = [parameters, reader].compactMap({ $0 }).first(where: { $0["rope_theta"] != nil })
    else {
      throw reader.refuse(
        "lacks 'rope_theta', at the top and in 'rope_parameters'; add the one the model was"
          + " trained with (10000 in Llama 2)")
    }
    let theta = try owner.real("rope_theta", Believable.ropeTheta)
    guard theta > 1 else { throw reader.refuse("'rope_theta' must be above 1") }
    guard let parameters else { return ModelShape.Rope(theta: theta) }
    return ModelShape.Rope(theta: theta, scaling: try scaling(parameters, context))
  }

  private func scaling(
    _ parameters: ConfigReader, _ context: Int
  ) throws(ModelComplaint) -> ModelShape.Rope.Scaling {
    let type = try parameters.text("rope_type")
    let oldType = try parameters.text("type")
    if let type, let oldType, type != oldType {
      throw reader.refuse("the rope has the types \(quoted(type)) and \(quoted(oldType))")
    }
    guard try parameters.real("partial_rotary_factor", 0...1, default: 1) == 1 else {
      throw reader.refuse("'partial_rotary_factor' below 1 is not supported")
    }
    func allow(_ keys: String...) throws(ModelComplaint) {
      let common = ["rope_type", "type", "rope_theta", "partial_rotary_factor"]
      for name in parameters.names where !(common + keys).contains(name) {
        guard parameters[name] != nil else { continue }
        throw reader.refuse("the rope's key \(quoted(name)) is not known for its type")
      }
    }
    func factor() throws(ModelComplaint) -> Double {
      try parameters.real("factor", Believable.ropeFactor)
    }
    let outer = try reader.optionalCount("original_max_position_embeddings", Believable.context)
    func original() throws(ModelComplaint) -> Int {
      if let outer { return outer }
      return try parameters.count(
        "original_max_position_embeddings", Believable.context, default: context)
    }
    switch type ?? oldType ?? "default" {
    case "default":
      try allow()
      return .none
    case "linear":
      try allow("factor")
      return .linear(factor: try factor())
    case "llama3":
      try allow(
        "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
      let low = try parameters.real("low_freq_factor", 1e-3...1e6)
      let high = try parameters.real("high_freq_factor", 1e-3...1e6)
      guard low < high else {
        throw reader.refuse("'low_freq_factor' \(low) is not below 'high_freq_factor' \(high)")
      }
      return .llama3(
        factor: try factor(), lowFrequency: low, highFrequency: high, original: try original())
    case "yarn":
      try allow(
        "factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow",
        "mscale", "mscale_all_dim", "truncate", "finetuned")
      return try yarn(parameters, factor: try factor(), original: try original())
    case let other:
      throw reader.refuse(
        "rope type \(quoted(other)) is not supported; supported are default, linear, llama3 and"
          + " yarn")
    }
  }

  private func yarn(
    _ parameters: ConfigReader, factor: Double, original: Int
  ) throws(ModelComplaint) -> ModelShape.Rope.Scaling {
    let scale = try parameters.real("mscale", 0...100, default: 0)
    let scaleAll = try parameters.real("mscale_all_dim", 0...100, default: 0)
    let computed =
      scale != 0 && scaleAll != 0
      ? magnitude(factor, scale) / magnitude(factor, scaleAll) : magnitude(factor, 1)
    // 0 counts as absent, as in the `or` of transformers.
    let fast = try parameters.real("beta_fast", 0...1e6, default: 0)
    let slow = try parameters.real("beta_slow", 0...1e6, default: 0)
    // DeepSeek alone scales the scores as well.
    let scores =
      family == .deepseekV2 || family == .deepseekV3
      ? (scaleAll != 0 ? magnitude(factor, scaleAll) : 1) : 1
    return .yarn(
      factor: factor, betaFast: fast == 0 ? 32 : fast, betaSlow: slow == 0 ? 1 : slow,
      original: original, truncates: try parameters.flag("truncate", default: true),
      attentionFactor: try parameters.real("attention_factor", 1e-3...1e3, default: computed),
      scoreScale: scores * scores)
  }

  /// YaRN's m(factor, scale).
  private func magnitude(_ factor: Double, _ scale: Double) -> Double {
    factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
  }
}
