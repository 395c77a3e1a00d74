extension ModelPlan {
  /// The plan of one rank. The count has been checked with `RankRules`.
  package init(_ shape: ModelShape, rank: Int, of ranks: Int) {
    precondition(RankRules.complaint(ranks, for: shape) == nil, "an illegal count of ranks")
    let builder = PlanBuilder(shape: shape, rank: rank, ranks: ranks)
    self = shape.family == .bert ? builder.encoder() : builder.decoder()
  }
}

private struct PlanBuilder {
  let shape: ModelShape
  let rank: Int
  let ranks: Int

  private var hidden: Int { shape.hidden }

  func decoder() -> ModelPlan {
    let bounds = ModelPlan.vocabularyBounds(shape.vocabulary, ranks: ranks)
    let mine = bounds[rank]..<bounds[rank + 1]
    func table(_ name: String) -> MatrixPlan {
      MatrixPlan(TensorSlice(name, rows: mine, columns: 0..<hidden), .atLeastHalf)
    }
    let embedding = table("model.embed_tokens.weight")
    return ModelPlan(
      shape: shape, rank: rank, ranks: ranks, embedding: embedding,
      layers: (0..<shape.layers).map(layer),
      head: HeadPlan(
        norm: norm("model.norm", hidden),
        matrix: shape.isTied ? embedding : table("lm_head.weight")))
  }

  private func layer(_ index: Int) -> LayerPlan {
    let prefix = "model.layers.\(index)."
    let hasExperts = shape.experts?.layers[index] ?? false
    return LayerPlan(
      attentionNorm: norm(prefix + "input_layernorm", hidden),
      attention: attention(prefix + "self_attn."),
      feedForwardNorm: norm(prefix + "post_attention_layernorm", hidden),
      feedForward: hasExperts
        ? .experts(experts(prefix + "mlp."))
        : .dense(dense(prefix + "mlp.", shape.intermediate, ranks: ranks, rank: rank)))
  }

  // MARK: Attention

  private func attention(_ prefix: String) -> AttentionPlan {
    switch shape.attention {
    case .grouped(let grouped): .grouped(self.grouped(grouped, prefix))
    case .latent(let latent): .latent(self.latent(latent, prefix))
    }
  }

  private func grouped(_ shape: ModelShape.GroupedAttention, _ prefix: String) -> GroupedPlan {
    let size = shape.headSize
    let heads = shape.heads / ranks
    // Fewer key-value heads than ranks: neighbours share one, and each keeps a copy.
    let kvHeads = max(1, shape.kvHeads / ranks)
    let firstKV = shape.kvHeads >= ranks ? rank * kvHeads : rank / (ranks / shape.kvHeads)
    let queries = rank * heads * size..<(rank + 1) * heads * size
    let keys = firstKV * size..<(firstKV + kvHeads) * size
    func split(_ name: String, _ rows: Range<Int>) -> LinearPlan {
      rowsOf(prefix + name, rows, hidden, bias: shape.qkvBias)
    }
    return GroupedPlan(
      heads: heads, kvHeads: kvHeads, headSize: size,
      query: split("q_proj", queries), key: split("k_proj", keys),
      value: split("v_proj", keys),
      queryNorm: shape.headNorms ? norm(prefix + "q_norm", size) : nil,
      keyNorm: shape.headNorms ? norm(prefix + "k_norm", size) : nil,
      output: columnsOf(prefix + "o_proj", hidden, queries, bias: shape.outputBias),
      scale: 1 / Float(size).squareRoot())
  }

  private func latent(_ shape: ModelShape.LatentAttention, _ prefix: String) -> LatentPlan {
    let heads = shape.heads / ranks
    let mine = rank * heads..<(rank + 1) * heads
    let querySize = shape.plainSize + shape.ropeSize
    let queries = mine.lowerBound * querySize..<mine.upperBound * querySize
    let query: LatentPlan.Query
    if let queryRank = shape.queryRank {
      query = .lowRank(
        down: rowsOf(prefix + "q_a_proj", 0..<queryRank, hidden, bias: shape.hasBias),
        norm: norm(prefix + "q_a_layernorm", queryRank, epsilon: Self.latentEpsilon),
        up: rowsOf(prefix + "q_b_proj", queries, queryRank, bias: false))
    } else {
      query = .direct(rowsOf(prefix + "q_proj", queries, hidden, bias: false))
    }
    // Rows of a head in kv_b_proj: first those that make its keys, then those of its values.
    let upSize = shape.plainSize + shape.valueSize
    func up(_ head: Int, _ part: Range<Int>, transposed: Bool) -> MatrixPlan {
      let first = head * upSize
      return MatrixPlan(
        TensorSlice(
          prefix + "kv_b_proj.weight",
          rows: first + part.lowerBound..<first + part.upperBound, columns: 0..<shape.latent,
          isTransposed: transposed), .atLeastHalf)
    }
    let outputs = mine.lowerBound * shape.valueSize..<mine.upperBound * shape.valueSize
    return LatentPlan(
      heads: heads, latent: shape.latent, plainSize: shape.plainSize, ropeSize: shape.ropeSize,
      valueSize: shape.valueSize, query: query,
      keyValueDown: rowsOf(
        prefix + "kv_a_proj_with_mqa", 0..<shape.latent + shape.ropeSize, hidden,
        bias: shape.hasBias),
      keyValueNorm: norm(prefix + "kv_a_layernorm", shape.latent, epsilon: Self.latentEpsilon),
      keyUp: mine.map { up($0, 0..<shape.plainSize, transposed: true) },
      valueUp: mine.map { up($0, shape.plainSize..<upSize, transposed: false) },
      output: columnsOf(prefix + "o_proj", hidden, outputs, bias: shape.hasBias),
      scale: latentScale(querySize))
  }

  /// The norms of the latents are built without the model's epsilon: the class's own default.
  private static let latentEpsilon: Float = 1e-6

  private func latentScale(_ querySize: Int) -> Float {
    let scale = 1 / Double(querySize).squareRoot()
    guard case .yarn(_, _, _, _, _, _, let scoreScale) = shape.rope?.scaling else {
      return Float(scale)
    }
    return Float(scale * scoreScale)
  }

  // MARK: Feed-forward

  private func dense(_ prefix: String, _ width: Int, ranks: Int, rank: Int) -> DensePlan {
    let mine = width / ranks * rank..<width / ranks * (rank + 1)
    let bias = shape.feedForwardBias
    return DensePlan(
      gate: rowsOf(prefix + "gate_proj", mine, hidden, bias: bias),
      up: rowsOf(prefix + "up_proj", mine, hidden, bias: bias),
      down: columnsOf(prefix + "down_proj", hidden, mine, bias: bias && rank == 0))
  }

  private func experts(_ prefix: String) -> ExpertsPlan {
    guard let rules = shape.experts else { preconditionFailure("a dense model has no experts") }
    let owned = rules.count / ranks * rank..<rules.count / ranks * (rank + 1)
    return ExpertsPlan(
      rules: rules,
      router: whole(prefix + "gate.weight", rules.count, hidden, .full),
      choiceBias: rules.hasChoiceBias
        ? VectorPlan(prefix + "gate.e_score_correction_bias", 0..<rules.count) : nil,
      owned: owned,
      experts: owned.map {
        dense("\(prefix)experts.\($0).", rules.intermediate, ranks: 1, rank: 0)
      },
      shared: rules.shared > 0
        ? dense(
          prefix + "shared_experts.", rules.shared * rules.intermediate, ranks: ranks, rank: rank)
        : nil)
  }

  // MARK: Pieces

  private func norm(_ name: String, _ size: Int, epsilon: Float? = nil) -> NormPlan {
    NormPlan(VectorPlan(name + ".weight", 0..<size), epsilon: epsilon ?? shape.normEpsilon)
  }

  private func whole(
    _ name: String, _ rows: Int, _ columns: Int, _ precision: MatrixPlan.Precision
  ) -> MatrixPlan {
    MatrixPlan(TensorSlice(name, rows: 0..<rows, columns: 0..<columns), precision)
  }

  /// A column split: some of the rows.
  private func rowsOf(
    _ name: String, _ rows: Range<Int>, _ columns: Int, bias: Bool
  ) -> LinearPlan {
    LinearPlan(
      MatrixPlan(TensorSlice(name + ".weight", rows: rows, columns: 0..<columns)),
      bias: bias ? VectorPlan(name + ".bias", rows) : nil)
  }

  /// A row split: some of the columns. The bias is added once, by rank 0.
  private func columnsOf(
    _ name: String, _ rows: Int, _ columns: Range<Int>, bias: Bool
  ) -> LinearPlan {
    LinearPlan(
      MatrixPlan(TensorSlice(name + ".weight", rows: 0..<rows, columns: columns)),
      bias: bias && rank == 0 ? VectorPlan(name + ".bias", 0..<rows) : nil)
  }

  // MARK: Encoders

  func encoder() -> ModelPlan {
    guard let numbers = shape.encoder, case .grouped(let heads) = shape.attention else {
      preconditionFailure("an encoder without its numbers")
    }
    func layerNorm(_ name: String) -> NormPlan {
      NormPlan(
        VectorPlan(name + ".weight", 0..<hidden), bias: VectorPlan(name + ".bias", 0..<hidden),
        epsilon: shape.normEpsilon)
    }
    let words = "embeddings.word_embeddings.weight"
    return ModelPlan(
      shape: shape, rank: 0, ranks: 1,
      embedding: whole(words, shape.vocabulary, hidden, .atLeastHalf),
      layers: (0..<shape.layers).map { index in
        let prefix = "encoder.layer.\(index)."
        func square(_ name: String) -> LinearPlan {
          rowsOf(prefix + name, 0..<hidden, hidden, bias: true)
        }
        return LayerPlan(
          attentionNorm: layerNorm(prefix + "attention.output.LayerNorm"),
          attention: .grouped(
            GroupedPlan(
              heads: heads.heads, kvHeads: heads.heads, headSize: heads.headSize,
              query: square("attention.self.query"), key: square("attention.self.key"),
              value: square("attention.self.value"), queryNorm: nil, keyNorm: nil,
              output: square("attention.output.dense"),
              scale: 1 / Float(heads.headSize).squareRoot())),
          feedForwardNorm: layerNorm(prefix + "output.LayerNorm"),
          feedForward: .dense(
            DensePlan(
              gate: nil,
              up: rowsOf(
                prefix + "intermediate.dense", 0..<shape.intermediate, hidden, bias: true),
              down: rowsOf(prefix + "output.dense", 0..<hidden, shape.intermediate, bias: true))))
      },
      encoder: EncoderPlan(
        positions: whole(
          "embeddings.position_embeddings.weight", numbers.positions, hidden, .atLeastHalf),
        tokenTypes: whole(
          "embeddings.token_type_embeddings.weight", numbers.tokenTypes, hidden, .atLeastHalf),
        norm: layerNorm("embeddings.LayerNorm")))
  }
}
