import JSON
import ShardPlan

/// config.json of a Hugging Face folder to a shape. Defaults are those of transformers' own
/// configuration classes, which differ by family; what would change the arithmetic and is not known
/// here is refused.
struct Config {
  let reader: ConfigReader
  let family: ModelShape.Family

  init(_ reader: ConfigReader) throws(ModelComplaint) {
    self.reader = reader
    let known = ModelShape.Family.allCases.map(\.rawValue)
    let list = known.dropLast().joined(separator: ", ") + " and " + known.last!
    guard let type = try reader.text("model_type") else {
      throw reader.refuse("lacks 'model_type'; supported are \(list)")
    }
    guard let family = ModelShape.Family(rawValue: type) else {
      throw reader.refuse("model_type \(quoted(type)) is not supported; supported are \(list)")
    }
    self.family = family
  }

  /// The shape but for what only other files know: `storedType`, and of encoders the pooling.
  func shape() throws(ModelComplaint) -> ModelShape {
    try checkArchitecture()
    try checkForeignKeys()
    try checkQuantization()
    switch family {
    case .llama, .qwen2, .qwen3, .qwen3MoE: return try groupedShape()
    case .deepseekV2, .deepseekV3: return try latentShape()
    case .bert: return try encoderShape()
    }
  }

  // MARK: Families

  private func groupedShape() throws(ModelComplaint) -> ModelShape {
    let hidden = try reader.count("hidden_size", Believable.hidden)
    let heads = try reader.count("num_attention_heads", Believable.heads)
    let kvHeads = try kvHeads(of: heads)
    let headSize: Int
    if let size = try reader.optionalCount("head_dim", Believable.headSize) {
      headSize = size
    } else if family == .qwen3 {
      // Qwen3 alone has a default of its own.
      headSize = 128
    } else {
      guard hidden % heads == 0 else {
        throw reader.refuse(
          "'hidden_size' \(hidden) is not a multiple of 'num_attention_heads' \(heads), and there"
            + " is no 'head_dim'")
      }
      headSize = hidden / heads
    }
    guard headSize % 2 == 0 else {
      throw reader.refuse("a head of \(headSize) elements cannot be turned in pairs")
    }
    let hasBias = try family == .qwen2 ? false : reader.flag("attention_bias", default: false)
    let hasWideBias = try family == .llama ? reader.flag("mlp_bias", default: false) : false
    let layers = try reader.count("num_hidden_layers", Believable.layers)
    let context = try reader.count("max_position_embeddings", Believable.context)
    let rope = try rope(context: context)
    return ModelShape(
      family: family, hidden: hidden, layers: layers,
      vocabulary: try vocabulary(), contextLimit: extended(context, by: rope),
      normEpsilon: try normEpsilon("rms_norm_eps", default: 1e-6),
      isTied: try reader.flag("tie_word_embeddings", default: false),
      attention: .grouped(
        .init(
          heads: heads, kvHeads: kvHeads, headSize: headSize,
          // Qwen2 has them without a key that says so, and none at the output.
          qkvBias: hasBias || family == .qwen2, outputBias: hasBias,
          headNorms: family == .qwen3 || family == .qwen3MoE)),
      intermediate: try reader.count("intermediate_size", Believable.intermediate),
      feedForwardBias: hasWideBias,
      experts: try family == .qwen3MoE ? plainExperts(layers: layers) : nil, rope: rope,
      endTokens: try endTokens(), storedType: .bf16)
  }

  private func kvHeads(of heads: Int) throws(ModelComplaint) -> Int {
    // An absent key means a number of its own in Qwen's classes, so it has to be there.
    if reader["num_key_value_heads"] == nil, family != .llama {
      throw reader.refuse("lacks 'num_key_value_heads'; it belongs to every model of this kind")
    }
    let kvHeads = try reader.count("num_key_value_heads", Believable.heads, default: heads)
    guard heads % kvHeads == 0 else {
      throw reader.refuse(
        "'num_attention_heads' \(heads) is not a multiple of 'num_key_value_heads' \(kvHeads)")
    }
    return kvHeads
  }

  private func latentShape() throws(ModelComplaint) -> ModelShape {
    let heads = try reader.count("num_attention_heads", Believable.heads)
    if let kvHeads = try reader.optionalCount("num_key_value_heads", Believable.heads),
      kvHeads != heads
    {
      throw reader.refuse(
        "'num_key_value_heads' \(kvHeads) differs from 'num_attention_heads' \(heads), which"
          + " latent attention does not have")
    }
    let ropeSize = try reader.count("qk_rope_head_dim", Believable.headSize)
    guard ropeSize % 2 == 0 else {
      throw reader.refuse("'qk_rope_head_dim' \(ropeSize) cannot be turned in pairs")
    }
    // Null is V2-Lite's way to say that there is none, and 0 the reference's.
    let queryRank = try reader.count("q_lora_rank", 0...Believable.hidden.upperBound, default: 0)
    let layers = try reader.count("num_hidden_layers", Believable.layers)
    let context = try reader.count("max_position_embeddings", Believable.context)
    var rope = try rope(context: context)
    rope.isInterleaved = try reader.flag("rope_interleave", default: true)
    return ModelShape(
      family: family, hidden: try reader.count("hidden_size", Believable.hidden), layers: layers,
      vocabulary: try vocabulary(), contextLimit: extended(context, by: rope),
      normEpsilon: try normEpsilon("rms_norm_eps", default: 1e-6),
      isTied: try reader.flag("tie_word_embeddings", default: false),
      attention: .latent(
        .init(
          heads: heads, queryRank: queryRank == 0 ? nil : queryRank,
          latent: try reader.count("kv_lora_rank", Believable.hidden),
          plainSize: try reader.count("qk_nope_head_dim", Believable.headSize),
          ropeSize: ropeSize, valueSize: try reader.count("v_head_dim", Believable.headSize),
          hasBias: try reader.flag("attention_bias", default: false))),
      intermediate: try reader.count("intermediate_size", Believable.intermediate),
      experts: try groupedExperts(layers: layers), rope: rope, endTokens: try endTokens(),
      storedType: .bf16)
  }

  private func encoderShape() throws(ModelComplaint) -> ModelShape {
    let hidden = try reader.count("hidden_size", Believable.hidden)
    let heads = try reader.count("num_attention_heads", Believable.heads)
    guard hidden % heads == 0 else {
      throw reader.refuse(
        "'hidden_size' \(hidden) is not a multiple of 'num_attention_heads' \(heads)")
    }
    if let kind = try reader.text("position_embedding_type"), kind != "absolute" {
      throw reader.refuse("position_embedding_type \(quoted(kind)) is not supported, only absolute")
    }
    let positions = try reader.count("max_position_embeddings", Believable.context)
    return ModelShape(
      family: .bert, hidden: hidden,
      layers: try reader.count("num_hidden_layers", Believable.layers),
      vocabulary: try vocabulary(), contextLimit: positions,
      normEpsilon: try normEpsilon("layer_norm_eps", default: 1e-12), isTied: false,
      attention: .grouped(
        .init(
          heads: heads, kvHeads: heads, headSize: hidden / heads, qkvBias: true, outputBias: true)),
      intermediate: try reader.count("intermediate_size", Believable.intermediate),
      feedForwardBias: true, rope: nil, storedType: .fp32,
      encoder: .init(
        positions: positions,
        tokenTypes: try reader.count("type_vocab_size", 1...65536, default: 2), pooling: .mean,
        normalised: false))
  }

  // MARK: Parts

  private func vocabulary() throws(ModelComplaint) -> Int {
    try reader.count("vocab_size", Believable.vocabulary)
  }

  private func normEpsilon(
    _ name: String, default standard: Double
  ) throws(ModelComplaint) -> Float {
    Float(try reader.real(name, Believable.normEpsilon, default: standard))
  }

  /// Of families whose class has a default, an absent key means that one.
  private func endTokens() throws(ModelComplaint) -> [Int32] {
    let vocabulary = try vocabulary()
    guard !reader.names.contains("eos_token_id") else {
      return try reader.tokens("eos_token_id", below: vocabulary)
    }
    let standard: Int32? =
      switch family {
      case .llama, .deepseekV2: 2
      case .deepseekV3: 1
      case .qwen2, .qwen3, .qwen3MoE, .bert: nil
      }
    return standard.map { $0 < vocabulary ? [$0] : [] } ?? []
  }

  /// YaRN is switched on to go beyond the trained length, and configs leave the old limit in place.
  private func extended(_ context: Int, by rope: ModelShape.Rope) -> Int {
    guard case .yarn(let factor, _, _, let original, _, _, _) = rope.scaling else { return context }
    return max(context, min(Believable.context.upperBound, Int(factor * Double(original))))
  }
}
