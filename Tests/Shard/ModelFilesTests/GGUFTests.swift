import Glibc
import ShardPlan
import Testing

@testable import ModelFiles

/// GGUF files: the same model as its folder, and files that lie.
struct GGUFTests {
  // The q and k of a llama lie in another order in GGUF: read as they are, the model talks nonsense.
  @Test func aFileHasTheSameWeightsAsItsFolder() throws {
    let gguf = try ModelSource.open(Golden.folder + "tiny-llama.gguf")
    let folder = try Folder()
    folder.write("config.json", FamilyTests.text(try Golden.model("llama-biased").config))
    folder.write("model.safetensors", try Golden.bytes("tiny-llama.safetensors"))
    let plain = try ModelSource.open(folder.path)
    #expect(gguf.tensorNames == plain.tensorNames)
    for name in plain.tensorNames {
      let (a, b) = (try #require(gguf.tensor(name)), try #require(plain.tensor(name)))
      #expect(a.floats == b.floats, "\(name)")
      // A rectangle, so that the order holds for any first row.
      if a.rows > 5 {
        #expect(a.floats(3..<6, 1..<9) == b.floats(3..<6, 1..<9))
      } else {
        #expect(a.floats(0..<1, 5..<9) == b.floats(0..<1, 5..<9))
      }
    }
    var expected = plain.shape
    expected.rope = .init(theta: 10_000)
    #expect(gguf.shape == expected)
    #expect(gguf.name == "tiny-llama.gguf" && gguf.chatTemplate == "{{ messages }}")
  }

  @Test func theTokenizerComesAlong() throws {
    let source = try ModelSource.open(Golden.folder + "tiny-llama.gguf")
    guard case .gguf(let tokenizer) = try source.tokenizer() else {
      Issue.record("no tokenizer")
      return
    }
    #expect(tokenizer.model == "gpt2" && tokenizer.pre == "smollm")
    #expect(tokenizer.tokens.count == 40 && tokenizer.tokens[39] == "Ġé")
    #expect(tokenizer.types[37] == 1 && tokenizer.types[38] == 3)
    #expect(tokenizer.merges == ["t 1", "t 2"])
    #expect(tokenizer.beginningToken == 2 && tokenizer.endToken == 3)
    #expect(tokenizer.addsBeginning == false && tokenizer.addsEnd == nil)
    #expect(source.specialTokens.end == "t3")
  }

  @Test func aFolderWithOneFileOpens() throws {
    let folder = try Folder()
    folder.write("a.gguf", try Golden.bytes("tiny-llama.gguf"))
    #expect(refusal(folder.path, in: folder) == nil)
    folder.write("b.gguf", "")
    #expect(
      refusal(folder.path, in: folder)
        == "F: holds 2 .gguf files; name one, such as F/a.gguf")
  }

  // MARK: Files made here

  /// A header as its parts.
  struct Made {
    var version: UInt32 = 3
    var values: [(name: String, kind: UInt32, bytes: [UInt8])] = []
    var tensors: [(name: String, shape: [UInt64], type: UInt32, offset: UInt64)] = []
    var data: [UInt8] = []
    var valueCount: UInt64?
    var tensorCount: UInt64?

    static func text(_ text: String) -> [UInt8] {
      bytes(UInt64(text.utf8.count)) + Array(text.utf8)
    }

    mutating func set(_ name: String, _ value: UInt32) { values.append((name, 4, bytes(value))) }
    mutating func set(_ name: String, _ value: Float) {
      values.append((name, 6, bytes(value.bitPattern)))
    }
    mutating func set(_ name: String, _ value: String) {
      values.append((name, 8, Self.text(value)))
    }

    var file: [UInt8] {
      var file = Array("GGUF".utf8) + bytes(version)
      file += bytes(tensorCount ?? UInt64(tensors.count))
      file += bytes(valueCount ?? UInt64(values.count))
      for (name, kind, value) in values { file += Self.text(name) + bytes(kind) + value }
      for tensor in tensors {
        file += Self.text(tensor.name) + bytes(UInt32(tensor.shape.count))
        file += tensor.shape.flatMap { bytes($0) } + bytes(tensor.type) + bytes(tensor.offset)
      }
      while file.count % 32 != 0 { file.append(0) }
      return file + data
    }

    static func llama(_ architecture: String = "llama") -> Made {
      var made = Made()
      made.set("general.architecture", architecture)
      for (name, value) in [
        ("block_count", 1), ("context_length", 8), ("embedding_length", 32),
        ("feed_forward_length", 32), ("attention.head_count", 1),
      ] { made.set("\(architecture).\(name)", UInt32(value)) }
      made.set("\(architecture).attention.layer_norm_rms_epsilon", Float(1e-5))
      made.add("token_embd.weight", [32, 4])
      made.add("output_norm.weight", [32])
      for name in ["attn_norm", "ffn_norm"] { made.add("blk.0.\(name).weight", [32]) }
      for name in [
        "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
      ] { made.add("blk.0.\(name).weight", [32, 32]) }
      return made
    }

    mutating func add(_ name: String, _ shape: [UInt64], _ floats: [Float]? = nil) {
      let count = Int(shape.reduce(1, *))
      tensors.append((name, shape, 0, UInt64(data.count)))
      data += (floats ?? [Float](repeating: 1, count: count)).flatMap { bytes($0.bitPattern) }
      while data.count % 32 != 0 { data.append(0) }
    }
  }

  static func sentence(_ change: (inout Made) -> Void) throws -> String? {
    var made = Made.llama()
    change(&made)
    let folder = try Folder()
    folder.write("m.gguf", made.file)
    return refusal(folder("m.gguf"), in: folder).map { String($0.dropFirst("F/m.gguf: ".count)) }
  }

  @Test func theSmallestFileIsTied() throws {
    let folder = try Folder()
    folder.write("m.gguf", Made.llama().file)
    let source = try ModelSource.open(folder("m.gguf"))
    #expect(source.shape.isTied && source.shape.rope == .init(theta: 10_000))
    #expect(source.tensor("lm_head.weight") == nil)
    guard case .missing = try source.tokenizer() else {
      Issue.record("a tokenizer from nowhere")
      return
    }
  }

  // Counts and lengths that a reader would allocate for, or run past the file with.
  @Test func lyingCountsAreRefused() throws {
    #expect(
      try Self.sentence { $0.tensorCount = .max }
        == "the header is damaged at byte 16: 18446744073709551615 tensors, above the limit of"
        + " 1000000")
    #expect(
      try Self.sentence { $0.valueCount = 1 << 63 }
        == "the header is damaged at byte 24: 9223372036854775808 values, above the limit of 65536")
    #expect(
      try Self.sentence { $0.values.insert(("x", 8, bytes(UInt64.max)), at: 0) }
        == "the header is damaged at byte 45: a text of 18446744073709551615 bytes does not fit")
    let long = bytes(UInt32(10)) + bytes(UInt64(1) << 60)
    #expect(
      try #require(Self.sentence { $0.values.insert(("x", 9, long), at: 0) })
        .hasPrefix(
          "the header is damaged at byte 49: 1152921504606846976 elements of a list, above the limit of"
        ))
    #expect(
      try Self.sentence {
        $0.values.insert(("x", 9, bytes(UInt32(9)) + bytes(UInt64(1))), at: 0)
      } == "the header is damaged at byte 49: a list of lists")
    #expect(
      try Self.sentence { $0.values.insert(("x", 77, []), at: 0) }
        == "the header is damaged at byte 37: a value has the unknown kind 77")
    #expect(
      try #require(Self.sentence { $0.set("llama.block_count", 1 as UInt32) })
        .hasSuffix(": 'llama.block_count' stands twice"))
  }

  @Test func lyingTensorsAreRefused() throws {
    #expect(
      try #require(Self.sentence { $0.tensors[0].shape = [32, 1 << 62] })
        .hasSuffix(
          ": tensor 'token_embd.weight' has the impossible shape [32, 4611686018427387904]"))
    #expect(
      try #require(Self.sentence { $0.tensors[0].shape = [32, 1 << 63] })
        .hasSuffix(": tensor 'token_embd.weight' has a dimension of 9223372036854775808"))
    #expect(
      try #require(Self.sentence { $0.tensors[0].shape = [32, 0] })
        .hasSuffix(": tensor 'token_embd.weight' has a dimension of 0"))
    #expect(
      try #require(Self.sentence { $0.tensors[0].shape = [1, 1, 1, 1, 1] })
        .hasSuffix(": tensor 'token_embd.weight' has 5 dimensions"))
    #expect(
      try #require(Self.sentence { $0.tensors[1].name = "token_embd.weight" })
        .hasSuffix(": tensor 'token_embd.weight' stands twice"))
    #expect(
      try #require(Self.sentence { $0.tensors[0].offset = 1 })
        .hasSuffix(": tensor 'token_embd.weight' is not aligned to 32 bytes"))
    #expect(
      try Self.sentence { $0.tensors[0].offset = UInt64(Int.max) / 32 * 32 }
        == "ends before its tensor 'token_embd.weight' does: it is truncated; download it again")
    #expect(
      try Self.sentence { $0.tensors[1].offset = 32 }
        == "tensors 'token_embd.weight' and 'output_norm.weight' overlap: the file is damaged")
    #expect(
      try Self.sentence { $0.tensors[0].type = 11 }
        == "tensor 'token_embd.weight' is stored as Q3_K, which is not supported; requantise it to"
        + " one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K")
    // A row has to be whole blocks.
    #expect(
      try #require(
        Self.sentence {
          $0.tensors[0].shape = [16, 8]
          $0.tensors[0].type = 2
        }
      ).hasSuffix(": tensor 'token_embd.weight' has the impossible shape [16, 8]"))
    #expect(
      try Self.sentence { $0.add("blk.0.attn_sinks.weight", [1]) }
        == "tensor 'blk.0.attn_sinks.weight' is not part of a llama model as the configuration"
        + " describes it; its configuration does not belong to it, or the model is of another kind")
  }

  @Test func otherKindsAreRefused() throws {
    #expect(
      try Self.sentence { $0.version = 1 }
        == "has GGUF version 1, not 2 or 3; convert it again with today's llama.cpp")
    #expect(
      try Self.sentence { $0.version = UInt32(3).byteSwapped }
        == "has GGUF version 50331648, not 2 or 3; it was written for big-endian machines")
    #expect(
      try Self.sentence { $0.set("split.count", 2 as UInt32) }
        == "is one of several parts; join them with llama.cpp's 'llama-gguf-split --merge'")
    #expect(
      try Self.sentence { $0.set("llama.expert_count", 8 as UInt32) }
        == "has experts, which are not supported in llama files")
    #expect(
      try Self.sentence { $0.set("llama.rope.dimension_count", 16 as UInt32) }
        == "has heads of 32 elements with values of 32, of which 16 are turned by position; all three"
        + " have to be one even number")
    #expect(
      try Self.sentence { $0.set("general.alignment", 48 as UInt32) }
        == "'general.alignment' is not a power of two up to 65536")
    let folder = try Folder()
    folder.write("m.gguf", Made.llama("deepseek2").file)
    #expect(
      refusal(folder("m.gguf"), in: folder)
        == "F/m.gguf: architecture 'deepseek2' is not supported as GGUF; supported are llama, qwen2,"
        + " qwen3 and qwen3moe (DeepSeek as a safetensors folder)")
  }

  // All experts of a layer are one tensor there, and only a part of it is any expert's.
  @Test func expertsComeOneByOne() throws {
    var made = Made()
    made.set("general.architecture", "qwen3moe")
    for (name, value) in [
      ("block_count", 1), ("context_length", 8), ("embedding_length", 32),
      ("attention.head_count", 2), ("attention.head_count_kv", 1), ("attention.key_length", 4),
      ("attention.value_length", 4), ("expert_count", 3), ("expert_used_count", 2),
      ("expert_feed_forward_length", 2),
    ] { made.set("qwen3moe.\(name)", UInt32(value)) }
    made.set("qwen3moe.attention.layer_norm_rms_epsilon", Float(1e-6))
    made.add("token_embd.weight", [32, 4])
    for name in ["output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"] {
      made.add(name, [32])
    }
    let numbers = (0..<192).map(Float.init)
    made.add("blk.0.attn_q.weight", [32, 8], (0..<256).map(Float.init))
    for name in ["attn_k", "attn_v"] { made.add("blk.0.\(name).weight", [32, 4]) }
    made.add("blk.0.attn_output.weight", [8, 32])
    for name in ["attn_q_norm", "attn_k_norm"] { made.add("blk.0.\(name).weight", [4]) }
    made.add("blk.0.ffn_gate_inp.weight", [32, 3])
    for name in ["ffn_gate_exps", "ffn_up_exps"] {
      made.add("blk.0.\(name).weight", [32, 2, 3], numbers)
    }
    made.add("blk.0.ffn_down_exps.weight", [2, 32, 3], numbers)
    let folder = try Folder()
    folder.write("m.gguf", made.file)
    let source = try ModelSource.open(folder("m.gguf"))
    for expert in 0..<3 {
      let part = Array(numbers[(64 * expert)..<(64 * expert + 64)])
      let prefix = "model.layers.0.mlp.experts.\(expert)."
      #expect(source.tensor(prefix + "gate_proj.weight")?.floats == part)
      #expect(source.tensor(prefix + "up_proj.weight")?.rows == 2)
      #expect(source.tensor(prefix + "down_proj.weight")?.floats == part)
    }
    // Qwen's heads lie as Hugging Face has them.
    let query = source.tensor("model.layers.0.self_attn.q_proj.weight")
    #expect(query?.floats == (0..<256).map(Float.init))
    #expect(source.shape.experts?.normalised == true && source.shape.experts?.count == 3)
    #expect(
      source.shape.attention
        == .grouped(.init(heads: 2, kvHeads: 1, headSize: 4, headNorms: true)))
  }

  // Llama 3's scaling stands in the file as divisors, in the order of the published models only.
  @Test func theRopeOfLlama3IsRecognised() throws {
    func divisors(_ low: Double) -> [Float] {
      (0..<16).map { index in
        let length = 2 * Double.pi * pow(500_000, Double(index) / 16)
        if length > 8192 / low { return 32 }
        if length < 8192.0 / 4 { return 1 }
        let smooth = (8192 / length - low) / (4 - low)
        return Float(1 / ((1 - smooth) / 32 + smooth))
      }
    }
    func made(_ divisors: [Float]) -> Made {
      var made = Made.llama()
      made.set("llama.rope.freq_base", 500_000 as Float)
      made.add("rope_freqs.weight", [16], divisors)
      return made
    }
    let folder = try Folder()
    folder.write("m.gguf", made(divisors(1)).file)
    #expect(
      try ModelSource.open(folder("m.gguf")).shape.rope
        == .init(
          theta: 500_000,
          scaling: .llama3(factor: 32, lowFrequency: 1, highFrequency: 4, original: 8192)))
    folder.write("m.gguf", made(divisors(2)).file)
    #expect(
      refusal(folder("m.gguf"), in: folder)
        == "F/m.gguf: 'rope_freqs.weight' is not the scaling of Llama 3.1 to 3.3, which is the only"
        + " one supported; use the model's safetensors folder")
    folder.write("m.gguf", made([Float](repeating: .nan, count: 16)).file)
    #expect(refusal(folder("m.gguf"), in: folder) != nil)
  }

  @Test func otherRopes() throws {
    func rope(_ change: (inout Made) -> Void) throws -> ModelShape.Rope.Scaling? {
      var made = Made.llama()
      change(&made)
      let folder = try Folder()
      folder.write("m.gguf", made.file)
      return try ModelSource.open(folder("m.gguf")).shape.rope?.scaling
    }
    #expect(try rope { $0.set("llama.rope.scale_linear", 2 as Float) } == .linear(factor: 2))
    #expect(
      try rope {
        $0.set("llama.rope.scaling.type", "none")
        $0.set("llama.rope.scaling.factor", 2 as Float)
      } == ModelShape.Rope.Scaling.none)
    #expect(
      try rope {
        $0.set("llama.rope.scaling.type", "yarn")
        $0.set("llama.rope.scaling.factor", 4 as Float)
        $0.set("llama.rope.scaling.original_context_length", 2 as UInt32)
      }
        == .yarn(
          factor: 4, betaFast: 32, betaSlow: 1, original: 2, truncates: true,
          attentionFactor: 0.1 * log(4) + 1, scoreScale: 1))
    #expect(
      try Self.sentence { $0.set("llama.rope.scaling.type", "longrope") }
        == "rope scaling 'longrope' with factor 0.0 is not supported")
  }
}
