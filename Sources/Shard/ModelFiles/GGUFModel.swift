import Glibc
import ShardPlan

/// A GGUF file as a model: its metadata to a shape, its tensors to Hugging Face's names and order.
struct GGUFModel {
  let header: GGUFHeader
  private let family: ModelShape.Family
  private let architecture: String

  init(_ file: MappedFile) throws(ModelComplaint) {
    header = try GGUFHeader(file)
    guard let architecture = try header.text("general.architecture") else {
      throw header.refuse("lacks 'general.architecture'")
    }
    let families: [String: ModelShape.Family] = [
      "llama": .llama, "qwen2": .qwen2, "qwen3": .qwen3, "qwen3moe": .qwen3MoE,
    ]
    guard let family = families[architecture] else {
      // DeepSeek's files keep kv_b cut in two and one half transposed.
      throw header.refuse(
        "architecture \(quoted(architecture)) is not supported as GGUF; supported are llama, qwen2,"
          + " qwen3 and qwen3moe (DeepSeek as a safetensors folder)")
    }
    self.architecture = architecture
    self.family = family
    if try header.count("split.count", 0...65536, default: 0) > 1 {
      throw header.refuse(
        "is one of several parts; join them with llama.cpp's 'llama-gguf-split --merge'")
    }
  }

  // MARK: Shape

  func shape() throws(ModelComplaint) -> ModelShape {
    func count(
      _ name: String, _ range: ClosedRange<Int>, default standard: Int? = nil
    ) throws(ModelComplaint) -> Int {
      try header.count("\(architecture).\(name)", range, default: standard)
    }
    let tensors = Dictionary(
      header.tensors.map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
    guard let table = tensors["token_embd.weight"], table.shape.count == 2,
      Believable.vocabulary.contains(table.shape[0])
    else { throw header.refuse("has no embedding table 'token_embd.weight' of two dimensions") }
    let hidden = try count("embedding_length", Believable.hidden)
    let heads = try count("attention.head_count", Believable.heads)
    let kvHeads = try count("attention.head_count_kv", Believable.heads, default: heads)
    guard heads % kvHeads == 0 else {
      throw header.refuse("its \(heads) heads are not a multiple of its \(kvHeads) kv heads")
    }
    guard hidden % heads == 0 || header.has("\(architecture).attention.key_length") else {
      throw header.refuse("its width \(hidden) is not a multiple of its \(heads) heads")
    }
    let headSize = try count("attention.key_length", Believable.headSize, default: hidden / heads)
    let turned = try count("rope.dimension_count", Believable.headSize, default: headSize)
    let valueSize = try count("attention.value_length", Believable.headSize, default: headSize)
    guard headSize % 2 == 0, turned == headSize, valueSize == headSize else {
      throw header.refuse(
        "has heads of \(headSize) elements with values of \(valueSize), of which \(turned) are"
          + " turned by position; all three have to be one even number")
    }
    if try count("attention.sliding_window", 0...Int.max, default: 0) > 0 {
      throw header.refuse("has a sliding window, which is not supported")
    }
    let isSparse = family == .qwen3MoE
    let experts = try count("expert_count", 0...Believable.experts.upperBound, default: 0)
    guard isSparse || experts == 0 else {
      throw header.refuse("has experts, which are not supported in \(architecture) files")
    }
    let layers = try count("block_count", Believable.layers)
    let context = try count("context_length", Believable.context)
    let hasBias = tensors["blk.0.attn_q.bias"] != nil
    let width = try count(
      "feed_forward_length", Believable.intermediate, default: isSparse ? hidden : nil)
    return ModelShape(
      family: family, hidden: hidden, layers: layers, vocabulary: table.shape[0],
      contextLimit: context,
      normEpsilon: Float(
        try header.real(
          "\(architecture).attention.layer_norm_rms_epsilon", Believable.normEpsilon)),
      isTied: tensors["output.weight"] == nil,
      attention: .grouped(
        .init(
          heads: heads, kvHeads: kvHeads, headSize: headSize, qkvBias: hasBias,
          outputBias: tensors["blk.0.attn_output.bias"] != nil,
          headNorms: family == .qwen3 || family == .qwen3MoE)),
      intermediate: width, feedForwardBias: tensors["blk.0.ffn_gate.bias"] != nil,
      experts: try isSparse ? self.experts(layers, tensors) : nil,
      rope: try rope(context, headSize, tensors["rope_freqs.weight"]),
      endTokens: try endTokens(below: table.shape[0]), storedType: .bf16)
  }

  /// What metadata leaves open is what llama.cpp does for this architecture: softmax, divided by the
  /// sum of the chosen.
  private func experts(
    _ layers: Int, _ tensors: [String: ListedTensor]
  ) throws(ModelComplaint) -> ModelShape.Experts {
    let count = try header.count("\(architecture).expert_count", Believable.experts)
    return ModelShape.Experts(
      count: count,
      perToken: try header.count("\(architecture).expert_used_count", 1...count),
      intermediate: try header.count(
        "\(architecture).expert_feed_forward_length", Believable.intermediate),
      shared: 0, scoring: .softmax, hasChoiceBias: false, groups: 1, groupsKept: 1,
      groupScore: .maximum, normalised: true, scale: 1,
      layers: (0..<layers).map { tensors["blk.\($0).ffn_gate_inp.weight"] != nil })
  }

  private func endTokens(below vocabulary: Int) throws(ModelComplaint) -> [Int32] {
    var tokens: [Int32] = []
    for name in ["eos_token_id", "eot_token_id", "eom_token_id"] {
      let key = "tokenizer.ggml." + name
      guard header.has(key) else { continue }
      let token = Int32(try header.count(key, 0...(vocabulary - 1)))
      if !tokens.contains(token) { tokens.append(token) }
    }
    return tokens
  }

  // MARK: Rope

  private func rope(
    _ context: Int, _ headSize: Int, _ factors: ListedTensor?
  ) throws(ModelComplaint) -> ModelShape.Rope {
    let prefix = architecture + ".rope."
    let theta = try header.real(prefix + "freq_base", Believable.ropeTheta, default: 10_000)
    guard theta > 1 else { throw header.refuse("'\(prefix)freq_base' must be above 1") }
    if let factors {
      return ModelShape.Rope(theta: theta, scaling: try llama3(factors, theta, headSize))
    }
    let factor = try header.real(
      prefix + "scaling.factor", 0...Believable.ropeFactor.upperBound,
      default: header.real(
        prefix + "scale_linear", 0...Believable.ropeFactor.upperBound, default: 0))
    let type = try header.text(prefix + "scaling.type") ?? "linear"
    guard type == "none" || factor == 0 || factor >= 1 else {
      throw header.refuse("'\(prefix)scaling.factor' is \(factor), below 1")
    }
    if type != "none", try header.real(prefix + "scaling.attn_factor", 0...1000, default: 1) != 1 {
      throw header.refuse("'\(prefix)scaling.attn_factor' is not supported, only 1")
    }
    switch type {
    case "none": return ModelShape.Rope(theta: theta)
    // llama.cpp's default, with 0 for no scaling.
    case "linear":
      return ModelShape.Rope(theta: theta, scaling: factor <= 1 ? .none : .linear(factor: factor))
    case "yarn" where factor >= 1:
      let original = try header.count(
        prefix + "scaling.original_context_length", Believable.context, default: context)
      return ModelShape.Rope(
        theta: theta,
        scaling: .yarn(
          factor: factor,
          betaFast: try header.real(prefix + "scaling.yarn_beta_fast", 1e-3...1e6, default: 32),
          betaSlow: try header.real(prefix + "scaling.yarn_beta_slow", 1e-3...1e6, default: 1),
          original: original, truncates: true, attentionFactor: 0.1 * log(factor) + 1,
          scoreScale: 1))
    default:
      throw header.refuse("rope scaling \(quoted(type)) with factor \(factor) is not supported")
    }
  }

  /// Llama 3's scaling stands in the file as the divisor of each frequency. The published models all
  /// have low 1, high 4 and original 8192, so the file must agree with that for its own factor.
  private func llama3(
    _ listed: ListedTensor, _ theta: Double, _ headSize: Int
  ) throws(ModelComplaint) -> ModelShape.Rope.Scaling {
    guard listed.storage == .f32, listed.shape == [headSize / 2] else {
      throw header.refuse("'rope_freqs.weight' is not \(headSize / 2) numbers of type F32")
    }
    var divisors = [Float](repeating: 0, count: headSize / 2)
    divisors.withUnsafeMutableBufferPointer {
      StoredRows(
        file: header.file, start: listed.bytes.lowerBound, rows: 1, columns: headSize / 2,
        storage: .f32
      ).read(row: 0, columns: 0..<(headSize / 2), into: $0.baseAddress!)
    }
    let factor = Double(divisors.max() ?? 1)
    guard divisors.allSatisfy({ $0.isFinite }), Believable.ropeFactor.contains(factor) else {
      throw header.refuse("'rope_freqs.weight' holds what cannot be divisors")
    }
    if divisors.allSatisfy({ $0 == 1 }) { return .none }
    let (low, high, original) = (1.0, 4.0, 8192)
    for (index, divisor) in divisors.enumerated() {
      let length = 2 * Double.pi * pow(theta, Double(2 * index) / Double(headSize))
      let smooth = (Double(original) / length - low) / (high - low)
      let expected = 1 / ((1 - min(max(smooth, 0), 1)) / factor + min(max(smooth, 0), 1))
      guard abs(Double(divisor) - expected) <= 1e-3 * expected else {
        throw header.refuse(
          "'rope_freqs.weight' is not the scaling of Llama 3.1 to 3.3, which is the only one"
            + " supported; use the model's safetensors folder")
      }
    }
    return .llama3(factor: factor, lowFrequency: low, highFrequency: high, original: original)
  }

  // MARK: Tensors

  func table(for shape: ModelShape) throws(ModelComplaint) -> WeightTable {
    var table = WeightTable(path: header.file.path)
    var order = TensorView.Order.plain
    if family == .llama, case .grouped(let attention) = shape.attention {
      order = .alternatingHalves(headSize: attention.headSize)
    }
    for (name, tensor) in header.tensors where name != "rope_freqs.weight" {
      let isTurned = name.contains(".attn_q.") || name.contains(".attn_k.")
      try table.add(
        Self.huggingFaceName(name),
        WeightTable.Place(tensor: tensor, file: header.file, order: isTurned ? order : .plain))
    }
    return table
  }

  /// A name that is not known stays as it is, and is refused as a stranger.
  private static func huggingFaceName(_ name: String) -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    if parts.count == 4, parts[0] == "blk", let part = layerNames[String(parts[2])] {
      return "model.layers.\(parts[1]).\(part)"
        // All experts in one: their names have no suffix here.
        + (parts[2].hasSuffix("_exps") ? "" : ".\(parts[3])")
    }
    switch name {
    case "token_embd.weight": return "model.embed_tokens.weight"
    case "output_norm.weight": return "model.norm.weight"
    case "output.weight": return "lm_head.weight"
    default: return name
    }
  }

  private static let layerNames = [
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.gate_proj", "ffn_up_exps": "mlp.experts.up_proj",
    "ffn_down_exps": "mlp.experts.down_proj",
  ]
}
