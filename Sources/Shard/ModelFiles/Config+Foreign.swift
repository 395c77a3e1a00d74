import JSON
import ShardPlan

/// What a config may hold beside the numbers of its family. Keys that do not touch the arithmetic of
/// inference (dropout, initialisation, losses, versions, names) pass unread; those below change it,
/// in one of transformers' families or in the wild, and pass only with a value that means "off".
extension Config {
  func checkForeignKeys() throws(ModelComplaint) {
    try checkActivation()
    try checkWindow()
    for name in reader.names {
      guard let value = reader[name], let neutral = Self.foreign[name] else { continue }
      guard !isOff(value), !neutral.contains(value) else { continue }
      throw reader.refuse(
        "'\(name)' is set, which changes the model's arithmetic in a way that is not supported")
    }
    let mixture = ["num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok"]
    for name in mixture where [.llama, .qwen2, .qwen3, .bert].contains(family) {
      if let value = reader[name], !isOff(value), value != .number(0), value != .number(1) {
        throw reader.refuse("'\(name)' is set, but \(family.rawValue) has no experts")
      }
    }
    if family == .qwen2 || family == .qwen3 || family == .deepseekV2 {
      if let value = reader["mlp_bias"], !isOff(value) {
        throw reader.refuse("'mlp_bias' is set, which is not supported in \(family.rawValue)")
      }
    }
  }

  func checkArchitecture() throws(ModelComplaint) {
    guard let names = reader["architectures"]?.elements?.compactMap(\.text), let name = names.first
    else { return }
    let legal =
      switch family {
      case .llama: ["LlamaForCausalLM"]
      case .qwen2: ["Qwen2ForCausalLM"]
      case .qwen3: ["Qwen3ForCausalLM"]
      case .qwen3MoE: ["Qwen3MoeForCausalLM"]
      case .deepseekV2: ["DeepseekV2ForCausalLM"]
      case .deepseekV3: ["DeepseekV3ForCausalLM"]
      case .bert: ["BertModel", "BertForMaskedLM", "BertForPreTraining"]
      }
    guard legal.contains(name) else {
      throw reader.refuse(
        "architecture \(quoted(name)) is not supported; of \(family.rawValue) it is"
          + " \(legal.joined(separator: " or "))")
    }
  }

  /// Only FP8 in blocks of 128 x 128 is read; everything else has to come unquantised.
  func checkQuantization() throws(ModelComplaint) {
    for name in ["quantization", "compression_config"] where reader[name] != nil {
      throw reader.refuse("'\(name)' is not supported; use the unquantised model")
    }
    guard let settings = try reader.object("quantization_config") else { return }
    let method = try settings.text("quant_method") ?? "none"
    guard method == "fp8" else {
      throw reader.refuse(
        "quantization_config has quant_method \(quoted(method)); only fp8 with blocks of 128 x 128"
          + " is supported: use the unquantised model")
    }
    let edge = JSONValue.number(Double(TensorView.scaleBlock))
    guard settings["weight_block_size"] == .array([edge, edge]) else {
      throw reader.refuse(
        "quantization_config has no weight_block_size of [128, 128]: use the unquantised model")
    }
    if let format = try settings.text("fmt"), format != "e4m3" {
      throw reader.refuse("FP8 format \(quoted(format)) is not supported, only e4m3")
    }
  }

  private func checkActivation() throws(ModelComplaint) {
    for name in ["hidden_act", "hidden_activation"] {
      guard let activation = try reader.text(name) else { continue }
      // `swish` is another name of the same function.
      let legal = family == .bert ? ["gelu"] : ["silu", "swish"]
      guard legal.contains(activation) else {
        throw reader.refuse(
          "\(name) \(quoted(activation)) is not supported; of \(family.rawValue) it is \(legal[0])")
      }
    }
  }

  /// Every layer sees the whole text.
  private func checkWindow() throws(ModelComplaint) {
    if try reader.flag("use_sliding_window", default: false) {
      throw reader.refuse("'use_sliding_window' is true; sliding windows are not supported")
    }
    // Qwen leaves the size in place when it does not use it.
    let isQwen = [.qwen2, .qwen3, .qwen3MoE].contains(family)
    if !isQwen, let window = reader["sliding_window"], !isOff(window) {
      throw reader.refuse("'sliding_window' is set; sliding windows are not supported")
    }
    if let types = reader["layer_types"] {
      for type in types.elements ?? [types] where type != .string("full_attention") {
        throw reader.refuse(
          "'layer_types' has \(quoted(type.text ?? "?")); every layer has to be full_attention")
      }
    }
  }

  private func isOff(_ value: JSONValue) -> Bool {
    switch value {
    case .null, .bool(false): true
    case .array(let elements): elements.isEmpty
    case .object(let members): members.isEmpty
    case .bool, .number, .string: false
    }
  }

  /// Keys, with the values beside null, false and emptiness that leave the arithmetic alone.
  private static let foreign: [String: [JSONValue]] = {
    var foreign: [String: [JSONValue]] = [:]
    // Factors.
    for name in [
      "attention_multiplier", "embedding_multiplier", "embedding_scale", "key_multiplier",
      "lm_head_multiplier", "logit_scale", "logits_scaling", "partial_rotary_factor",
      "residual_multiplier", "rotary_pct", "scale_emb", "scale_depth",
    ] { foreign[name] = [.number(1)] }
    // Switches and limits.
    for name in [
      "add_cross_attention", "alibi", "apply_layernorm_1p", "attention_chunk_size",
      "attn_logit_softcapping", "attn_output_gate", "attn_temperature_tuning", "clip_qkv",
      "cross_attention_layers", "dim_model_base", "final_logit_softcapping",
      "full_attention_interval", "global_attn_every_n_layers", "index_n_heads", "index_topk",
      "is_decoder", "is_encoder_decoder", "lm_head_bias", "local_rope_theta",
      "multi_query_attention", "no_rope_layer_interval", "no_rope_layers", "parallel_attn",
      "qk_layernorm", "qk_norm", "query_pre_attn_scalar", "rope_local_base_freq",
      "sandwich_norm", "scale_embedding", "shared_expert_intermediate_size",
      "sliding_window_pattern", "text_config", "use_mup", "use_parallel_residual", "use_qk_norm",
      "use_qk_layernorm", "use_rope_interleaved", "vision_config", "audio_config",
      "zero_expert_num",
    ] { foreign[name] = [.number(0)] }
    return foreign
  }()
}
