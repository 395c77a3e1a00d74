/// What a model is: its numbers, without its weights. ModelFiles reads it from config.json or a GGUF
/// header, refusing what it does not understand; everything behind it believes it.
package struct ModelShape: Equatable, Sendable {
  /// As `model_type` in config.json.
  package enum Family: String, Sendable, CaseIterable {
    case llama, qwen2, qwen3
    case qwen3MoE = "qwen3_moe"
    case deepseekV2 = "deepseek_v2"
    case deepseekV3 = "deepseek_v3"
    /// An encoder: its layers see the whole text, and it makes embeddings.
    case bert
  }

  package var family: Family
  /// Width of the residual stream. Elements.
  package var hidden: Int
  package var layers: Int
  /// Rows of the embedding table. Tokens.
  package var vocabulary: Int
  /// The longest sequence that the model was trained for. Tokens.
  package var contextLimit: Int
  /// Added to the mean square (or the variance) before the root. `rms_norm_eps`.
  package var normEpsilon: Float
  /// The head reads the embedding table.
  package var isTied: Bool
  package var attention: Attention
  /// Width of the dense feed-forward. Elements.
  package var intermediate: Int
  /// gate, up and down carry biases (`mlp_bias`; always in BERT).
  package var feedForwardBias: Bool
  /// nil in dense models.
  package var experts: Experts?
  package var rope: Rope?
  /// Ids that end a text, from config.json and generation_config.json.
  package var endTokens: [Int32]
  /// What the files store most weights in, which is what `--dtype` defaults to.
  package var storedType: WeightType
  /// BERT only.
  package var encoder: Encoder?

  package init(
    family: Family, hidden: Int, layers: Int, vocabulary: Int, contextLimit: Int,
    normEpsilon: Float, isTied: Bool, attention: Attention, intermediate: Int,
    feedForwardBias: Bool = false, experts: Experts? = nil, rope: Rope?, endTokens: [Int32] = [],
    storedType: WeightType, encoder: Encoder? = nil
  ) {
    self.family = family
    self.hidden = hidden
    self.layers = layers
    self.vocabulary = vocabulary
    self.contextLimit = contextLimit
    self.normEpsilon = normEpsilon
    self.isTied = isTied
    self.attention = attention
    self.intermediate = intermediate
    self.feedForwardBias = feedForwardBias
    self.experts = experts
    self.rope = rope
    self.endTokens = endTokens
    self.storedType = storedType
    self.encoder = encoder
  }

  package enum Attention: Equatable, Sendable {
    case grouped(GroupedAttention)
    case latent(LatentAttention)
  }

  /// Multi-head attention whose heads share keys and values in groups.
  package struct GroupedAttention: Equatable, Sendable {
    package var heads: Int
    package var kvHeads: Int
    /// Elements of one head; `head_dim` where the config has it, hidden / heads otherwise.
    package var headSize: Int
    /// q, k and v carry biases.
    package var qkvBias: Bool
    package var outputBias: Bool
    /// Queries and keys are normed per head before rope (Qwen3).
    package var headNorms: Bool

    package init(
      heads: Int, kvHeads: Int, headSize: Int, qkvBias: Bool = false, outputBias: Bool = false,
      headNorms: Bool = false
    ) {
      self.heads = heads
      self.kvHeads = kvHeads
      self.headSize = headSize
      self.qkvBias = qkvBias
      self.outputBias = outputBias
      self.headNorms = headNorms
    }
  }

  /// DeepSeek's attention: keys and values of all heads are made from one small latent per token.
  package struct LatentAttention: Equatable, Sendable {
    package var heads: Int
    /// Rank of the query's own latent; nil where queries are made in one step (V2-Lite).
    package var queryRank: Int?
    /// Elements of the latent that is cached. 512 in the published models.
    package var latent: Int
    /// Elements of a head's part without positions, and with them.
    package var plainSize: Int
    package var ropeSize: Int
    package var valueSize: Int
    /// `attention_bias`: q_a, kv_a and o carry biases.
    package var hasBias: Bool

    package init(
      heads: Int, queryRank: Int?, latent: Int, plainSize: Int, ropeSize: Int, valueSize: Int,
      hasBias: Bool = false
    ) {
      self.heads = heads
      self.queryRank = queryRank
      self.latent = latent
      self.plainSize = plainSize
      self.ropeSize = ropeSize
      self.valueSize = valueSize
      self.hasBias = hasBias
    }
  }

  /// A feed-forward of many experts, of which each token uses a few.
  package struct Experts: Equatable, Sendable {
    package enum Scoring: Equatable, Sendable { case softmax, sigmoid }
    /// What a group of experts is worth when groups are chosen first.
    package enum GroupScore: Equatable, Sendable { case maximum, sumOfTopTwo }

    package var count: Int
    package var perToken: Int
    /// Width of one expert. Elements.
    package var intermediate: Int
    /// Experts that every token uses, as one feed-forward of `shared * intermediate`. 0 for none.
    package var shared: Int
    package var scoring: Scoring
    /// Choosing adds `e_score_correction_bias` to the scores (V3); weights never see it.
    package var hasChoiceBias: Bool
    /// 1 and 1 where experts are not grouped.
    package var groups: Int
    package var groupsKept: Int
    package var groupScore: GroupScore
    /// Weights of the chosen are divided by their sum.
    package var normalised: Bool
    /// `routed_scaling_factor`, 1 where there is none.
    package var scale: Float
    /// Which layers have experts; the others are dense.
    package var layers: [Bool]

    package init(
      count: Int, perToken: Int, intermediate: Int, shared: Int, scoring: Scoring,
      hasChoiceBias: Bool, groups: Int, groupsKept: Int, groupScore: GroupScore,
      normalised: Bool, scale: Float, layers: [Bool]
    ) {
      self.count = count
      self.perToken = perToken
      self.intermediate = intermediate
      self.shared = shared
      self.scoring = scoring
      self.hasChoiceBias = hasChoiceBias
      self.groups = groups
      self.groupsKept = groupsKept
      self.groupScore = groupScore
      self.normalised = normalised
      self.scale = scale
      self.layers = layers
    }
  }

  /// Rotary position embedding.
  package struct Rope: Equatable, Sendable {
    package enum Scaling: Equatable, Sendable {
      case none
      case linear(factor: Double)
      case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, original: Int)
      /// `attentionFactor` multiplies cosine and sine. `scoreScale` multiplies the scale of the
      /// scores: DeepSeek's m(factor, mscale_all_dim) squared, 1 elsewhere.
      case yarn(
        factor: Double, betaFast: Double, betaSlow: Double, original: Int, truncates: Bool,
        attentionFactor: Double, scoreScale: Double)
    }

    package var theta: Double
    package var scaling: Scaling
    /// Pairs are neighbours (DeepSeek) rather than halves (i, i + d/2).
    package var isInterleaved: Bool

    package init(theta: Double, scaling: Scaling = .none, isInterleaved: Bool = false) {
      self.theta = theta
      self.scaling = scaling
      self.isInterleaved = isInterleaved
    }
  }

  /// What only encoders have.
  package struct Encoder: Equatable, Sendable {
    /// Rows of the table of positions, and of token types.
    package var positions: Int
    package var tokenTypes: Int
    /// How token vectors become one: the mean, or the first token's.
    package enum Pooling: Equatable, Sendable { case mean, first }
    package var pooling: Pooling
    /// Vectors are scaled to length 1.
    package var normalised: Bool

    package init(positions: Int, tokenTypes: Int, pooling: Pooling, normalised: Bool) {
      self.positions = positions
      self.tokenTypes = tokenTypes
      self.pooling = pooling
      self.normalised = normalised
    }
  }
}

/// How weights of linear layers are held in memory.
package enum WeightType: String, Sendable, CaseIterable {
  case fp32, bf16
  /// e4m3 bytes with fp32 scales: as the file has them, one for each block of 128 x 128, or, where
  /// weights are quantised at load, one for each 16 rows of such a block, which is closer.
  case fp8
}
