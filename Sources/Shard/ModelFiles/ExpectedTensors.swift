import ShardPlan

/// A weight that the layer plan of a shape reads, under its Hugging Face name.
struct ExpectedTensor {
  let name: String
  /// nil for a vector.
  let rows: Int?
  let columns: Int
  /// Of an expert's weight.
  var expert: Expert?

  struct Expert {
    enum Part: String { case gate, up, down }

    let layer: Int
    let index: Int
    let count: Int
    let part: Part
  }

  /// Rows `firstRow ..< firstRow + rows` of an expert in a tensor [count, expertRows, columns].
  struct Fused {
    let name: String
    let expertRows: Int
    let firstRow: Int
  }

  /// Where an expert's weight lies when a file keeps all experts of a layer in one tensor. Made only
  /// when asked for: few files do, and there are a hundred thousand experts.
  var fused: [Fused] {
    guard let expert, let rows else { return [] }
    let prefix = "model.layers.\(expert.layer).mlp.experts."
    let alone = Fused(name: prefix + "\(expert.part.rawValue)_proj", expertRows: rows, firstRow: 0)
    // transformers 5 stacks gate over up in memory, and so does who saves what it has in memory.
    func stacked(from first: Int) -> Fused {
      Fused(name: prefix + "gate_up_proj", expertRows: 2 * rows, firstRow: first)
    }
    switch expert.part {
    case .gate: return [alone, stacked(from: 0)]
    case .up: return [alone, stacked(from: rows)]
    case .down: return [alone]
    }
  }
}

extension ModelShape {
  /// Calls `body` with every weight that a model of this shape has. Sizes cannot overflow: the
  /// numbers of a shape are bounded by `Believable`.
  func forEachTensor(
    _ body: (ExpectedTensor) throws(ModelComplaint) -> Void
  ) throws(ModelComplaint) {
    if family == .bert { return try forEachEncoderTensor(body) }
    try body(ExpectedTensor(name: "model.embed_tokens.weight", rows: vocabulary, columns: hidden))
    try body(ExpectedTensor(name: "model.norm.weight", rows: nil, columns: hidden))
    if !isTied {
      try body(ExpectedTensor(name: "lm_head.weight", rows: vocabulary, columns: hidden))
    }
    for layer in 0..<layers {
      let prefix = "model.layers.\(layer)."
      func vector(_ name: String, _ columns: Int) throws(ModelComplaint) {
        try body(ExpectedTensor(name: prefix + name, rows: nil, columns: columns))
      }
      func linear(
        _ name: String, _ rows: Int, _ columns: Int, bias: Bool = false
      ) throws(ModelComplaint) {
        try body(ExpectedTensor(name: prefix + name + ".weight", rows: rows, columns: columns))
        if bias { try vector(name + ".bias", rows) }
      }
      func feedForward(_ name: String, _ width: Int, bias: Bool) throws(ModelComplaint) {
        try linear(name + ".gate_proj", width, hidden, bias: bias)
        try linear(name + ".up_proj", width, hidden, bias: bias)
        try linear(name + ".down_proj", hidden, width, bias: bias)
      }
      try vector("input_layernorm.weight", hidden)
      try vector("post_attention_layernorm.weight", hidden)
      switch attention {
      case .grouped(let part):
        let (width, kvWidth) = (part.heads * part.headSize, part.kvHeads * part.headSize)
        try linear("self_attn.q_proj", width, hidden, bias: part.qkvBias)
        try linear("self_attn.k_proj", kvWidth, hidden, bias: part.qkvBias)
        try linear("self_attn.v_proj", kvWidth, hidden, bias: part.qkvBias)
        try linear("self_attn.o_proj", hidden, width, bias: part.outputBias)
        if part.headNorms {
          try vector("self_attn.q_norm.weight", part.headSize)
          try vector("self_attn.k_norm.weight", part.headSize)
        }
      case .latent(let part):
        let queries = part.heads * (part.plainSize + part.ropeSize)
        if let rank = part.queryRank {
          try linear("self_attn.q_a_proj", rank, hidden, bias: part.hasBias)
          try vector("self_attn.q_a_layernorm.weight", rank)
          try linear("self_attn.q_b_proj", queries, rank)
        } else {
          try linear("self_attn.q_proj", queries, hidden)
        }
        try linear(
          "self_attn.kv_a_proj_with_mqa", part.latent + part.ropeSize, hidden, bias: part.hasBias)
        try vector("self_attn.kv_a_layernorm.weight", part.latent)
        try linear(
          "self_attn.kv_b_proj", part.heads * (part.plainSize + part.valueSize), part.latent)
        try linear("self_attn.o_proj", hidden, part.heads * part.valueSize, bias: part.hasBias)
      }
      guard let experts, experts.layers[layer] else {
        try feedForward("mlp", intermediate, bias: feedForwardBias)
        continue
      }
      try linear("mlp.gate", experts.count, hidden)
      if experts.hasChoiceBias { try vector("mlp.gate.e_score_correction_bias", experts.count) }
      for index in 0..<experts.count {
        for part in [ExpectedTensor.Expert.Part.gate, .up, .down] {
          let isDown = part == .down
          try body(
            ExpectedTensor(
              name: prefix + "mlp.experts.\(index).\(part.rawValue)_proj.weight",
              rows: isDown ? hidden : experts.intermediate,
              columns: isDown ? experts.intermediate : hidden,
              expert: .init(layer: layer, index: index, count: experts.count, part: part)))
        }
      }
      if experts.shared > 0 {
        try feedForward("mlp.shared_experts", experts.shared * experts.intermediate, bias: false)
      }
    }
  }

  private func forEachEncoderTensor(
    _ body: (ExpectedTensor) throws(ModelComplaint) -> Void
  ) throws(ModelComplaint) {
    func norm(_ name: String) throws(ModelComplaint) {
      try body(ExpectedTensor(name: name + ".weight", rows: nil, columns: hidden))
      try body(ExpectedTensor(name: name + ".bias", rows: nil, columns: hidden))
    }
    func linear(_ name: String, _ rows: Int, _ columns: Int) throws(ModelComplaint) {
      try body(ExpectedTensor(name: name + ".weight", rows: rows, columns: columns))
      try body(ExpectedTensor(name: name + ".bias", rows: nil, columns: rows))
    }
    func table(_ name: String, _ rows: Int) throws(ModelComplaint) {
      try body(ExpectedTensor(name: "embeddings.\(name).weight", rows: rows, columns: hidden))
    }
    try table("word_embeddings", vocabulary)
    try table("position_embeddings", encoder?.positions ?? contextLimit)
    try table("token_type_embeddings", encoder?.tokenTypes ?? 2)
    try norm("embeddings.LayerNorm")
    for layer in 0..<layers {
      let prefix = "encoder.layer.\(layer)."
      for part in ["query", "key", "value"] {
        try linear(prefix + "attention.self." + part, hidden, hidden)
      }
      try linear(prefix + "attention.output.dense", hidden, hidden)
      try norm(prefix + "attention.output.LayerNorm")
      try linear(prefix + "intermediate.dense", intermediate, hidden)
      try linear(prefix + "output.dense", hidden, intermediate)
      try norm(prefix + "output.LayerNorm")
    }
  }
}
