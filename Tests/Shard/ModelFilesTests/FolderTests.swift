import ShardPlan
import Testing

@testable import ModelFiles

/// A folder of weights as a whole: shards and their index, weights and the config that they belong to.
struct FolderTests {
  static func write(_ safe: Safe, config: String = Safe.tinyConfig) throws -> Folder {
    let folder = try Folder()
    folder.write("config.json", config)
    folder.write("model.safetensors", safe.file)
    return folder
  }

  static func changed(_ change: (inout Safe) -> Void, config: String = Safe.tinyConfig) throws
    -> String?
  {
    var safe = Safe.tinyLlama()
    change(&safe)
    let folder = try write(safe, config: config)
    return refusal(folder.path, in: folder)
  }

  @Test func aFolderReadsWhatStandsThere() throws {
    let folder = try Self.write(.tinyLlama())
    let source = try ModelSource.open(folder.path + "/")
    #expect(source.shape.storedType == .fp32)
    #expect(source.name == String(folder.path.split(separator: "/").last!))
    #expect(source.files == [folder.path + "/model.safetensors"])
    #expect(source.fileBytes == Safe.tinyLlama().file.count)
    let view = try #require(source.tensor("model.embed_tokens.weight"))
    #expect((view.rows, view.columns) == (3, 2) && view.storage == .f32)
    #expect(view.floats == [3.125, 4.125, 5.125, 6.125, 7.125, 8.125])
    #expect(view.floats(1..<3, 1..<2) == [6.125, 8.125])
    #expect(source.tensor("model.norm.weight")?.rows == 1)
    #expect(source.tensor("model.layers.0.self_attn.q_norm.weight") == nil)
    #expect(view.bf16(rows: 0..<1, columns: 0..<1) == nil)
    // Pages given back are read again.
    source.prefetch()
    view.release()
    source.release()
    #expect(view.floats.count == 6)
  }

  @Test func shardsComeTogetherByTheirIndex() throws {
    let all = Safe.tinyLlama().tensors
    let folder = try Folder()
    folder.write("config.json", Safe.tinyConfig)
    folder.write("a.safetensors", Safe(tensors: Array(all[..<5])).file)
    folder.write("b.safetensors", Safe(tensors: Array(all[5...])).file)
    func index(_ place: (Int) -> String) {
      let entries = all.indices.map { "\"\(all[$0].name)\":\"\(place($0))\"" }
      folder.write(
        "model.safetensors.index.json",
        "{\"metadata\":{\"total_size\":1},\"weight_map\":{\(entries.joined(separator: ","))}}")
    }
    index { $0 < 5 ? "a.safetensors" : "b.safetensors" }
    let source = try ModelSource.open(folder.path)
    #expect(source.files.count == 2)
    try readAll(source)
    // The index and a shard disagree.
    index { $0 < 6 ? "a.safetensors" : "b.safetensors" }
    #expect(
      refusal(folder.path, in: folder)
        == "F/a.safetensors: lacks tensor 'model.layers.0.self_attn.q_proj.weight', which the index"
        + " says is there; download it again")
    // A shard is missing.
    index { $0 < 5 ? "a.safetensors" : "c.safetensors" }
    #expect(
      refusal(folder.path, in: folder)
        == "F/c.safetensors: cannot be opened: No such file or directory")
    // Both shards have the same tensor.
    folder.write("c.safetensors", Safe(tensors: Array(all[4...])).file)
    index { $0 < 5 ? "a.safetensors" : "c.safetensors" }
    #expect(
      refusal(folder.path, in: folder)
        == "F/c.safetensors: tensor 'model.layers.0.post_attention_layernorm.weight' stands in"
        + " F/a.safetensors as well")
  }

  // An index from the hub must not make us read a file elsewhere.
  @Test(arguments: [
    "../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", ".safetensors", "", "passwd",
    "a\\u0000.safetensors",
  ])
  func anIndexNamesFilesBesideIt(name: String) throws {
    let folder = try Folder()
    folder.write("config.json", Safe.tinyConfig)
    folder.write("model.safetensors.index.json", "{\"weight_map\":{\"t\":\"\(name)\"}}")
    let sentence = try #require(refusal(folder.path, in: folder))
    #expect(sentence.hasPrefix("F/model.safetensors.index.json: names the file '"))
    #expect(sentence.hasSuffix("', which is no safetensors file beside it"))
  }

  @Test(arguments: [
    ("", "the header is damaged at byte 0: expected '{'"),
    ("{}", "lacks 'weight_map'"),
    ("{\"weight_map\":{}}", "names no tensors"),
    (
      "{\"weight_map\":{},\"weight_map\":{}}",
      "the header is damaged at byte 30: 'weight_map' stands twice"
    ),
    (
      "{\"weight_map\":{\"t\":\"a\",\"t\":\"a\"}}",
      "the header is damaged at byte 30: 't' stands twice"
    ),
    ("{\"weight_map\":[]}", "the header is damaged at byte 14: expected '{'"),
  ])
  func aDamagedIndexIsRefused(text: String, sentence: String) throws {
    let folder = try Folder()
    folder.write("config.json", Safe.tinyConfig)
    folder.write("model.safetensors.index.json", text)
    #expect(
      refusal(folder.path, in: folder) == "F/model.safetensors.index.json: " + sentence)
  }

  @Test func aFolderWithoutWeightsSaysWhatToDo() throws {
    let folder = try Folder()
    #expect(
      refusal(folder.path, in: folder)
        == "F: has no config.json and no .gguf file; give a model folder or a .gguf file")
    folder.write("config.json", Safe.tinyConfig)
    #expect(
      refusal(folder.path, in: folder)
        == "F: has no model.safetensors and no model.safetensors.index.json")
    folder.write("pytorch_model.bin", "")
    #expect(
      refusal(folder.path, in: folder)
        == "F: has no model.safetensors and no model.safetensors.index.json; pytorch_model.bin"
        + " cannot be read: convert the model to safetensors")
  }

  // A config that contradicts its tensors would answer nonsense.
  @Test func tensorsAndConfigHaveToAgree() throws {
    #expect(
      try Self.changed { $0.tensors.remove(at: 5) }
        == "F: tensor 'model.layers.0.self_attn.q_proj.weight' is missing from its files")
    #expect(
      try Self.changed { $0.tensors.remove(at: 2) }
        == "F: tensor 'lm_head.weight' is missing from its files; if the head shares the embedding"
        + " table, set 'tie_word_embeddings' to true")
    #expect(
      try Self.changed { $0.tensors[0].shape = [2, 3] }
        == "F/model.safetensors: tensor 'model.embed_tokens.weight' has the shape [2, 3] where the"
        + " configuration asks for [3, 2]")
    #expect(
      try Self.changed { $0.tensors[0].type = "I32" }
        == "F/model.safetensors: tensor 'model.embed_tokens.weight' is stored as I32, which weights"
        + " cannot be; convert the model to BF16, F16, F32 or block FP8")
    #expect(
      try Self.changed { $0.add("model.layers.0.self_attn.q_proj.bias", [2], [0, 0]) }
        == "F: tensor 'model.layers.0.self_attn.q_proj.bias' is not part of a llama model as the"
        + " configuration describes it; its configuration does not belong to it, or the model is of"
        + " another kind")
    #expect(
      try Self.changed { $0.add("model.layers.0.self_attn.q_norm.weight", [2], [0, 0]) } != nil)
    #expect(
      try Self.changed { $0.add("model.layers.1.input_layernorm.weight", [2], [0, 0]) }
        == "F: tensor 'model.layers.1.input_layernorm.weight' belongs to layer 1, but the"
        + " configuration has only 1 layers")
  }

  @Test func harmlessStrangersPass() throws {
    let tied = Safe.tinyConfig.dropLast() + ", \"tie_word_embeddings\": true}"
    #expect(
      try Self.changed(
        {
          $0.add("model.layers.0.self_attn.rotary_emb.inv_freq", [1], [1])
          $0.add("embeddings.position_ids", "I64", [1], [0, 0, 0, 0, 0, 0, 0, 0])
        }, config: String(tied)) == nil)
  }

  // 130 x 200 spans two blocks each way: a scale of the wrong block, or its inverse, shows.
  @Test func fp8IsTimesTheScaleOfItsBlock() throws {
    let (rows, columns) = (130, 200)
    var safe = Safe()
    for (name, shape) in Safe.tinyShapes {
      let wide = Self.scaled(name, shape, hidden: columns, intermediate: rows)
      let count = wide.reduce(1, *)
      if name.hasSuffix("gate_proj.weight") {
        safe.add(name, "F8_E4M3", wide, (0..<count).map { UInt8($0 % 127) })
        safe.add(name + "_scale_inv", [2, 2], [1, 2, 4, 8])
      } else {
        safe.add(name, "BF16", wide, (0..<(2 * count)).map { UInt8($0 % 64) })
      }
    }
    let config = """
      {"model_type": "llama", "hidden_size": 200, "num_hidden_layers": 1, "num_attention_heads": 1,
       "intermediate_size": 130, "vocab_size": 3, "max_position_embeddings": 8, "rope_theta": 1e4,
       "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
      """
    let folder = try Self.write(safe, config: config)
    let source = try ModelSource.open(folder.path)
    let view = try #require(source.tensor("model.layers.0.mlp.gate_proj.weight"))
    #expect(view.blockScales?.rows == 2 && view.blockScales?.columns == 2)
    let direct = try #require(view.e4m3(rows: 1..<130, columns: 3..<200))
    #expect(direct.stride == 200 && direct.start[0] == UInt8(203 % 127))
    let plain = TensorView(
      name: "plain", blockScales: nil, stored: view.stored, order: .plain
    ).floats
    for (rows, columns) in [(0..<130, 0..<200), (127..<129, 126..<131), (129..<130, 199..<200)] {
      let read = view.floats(rows, columns)
      for row in rows {
        for column in columns {
          let scale = Float(1 << ((row / 128) * 2 + column / 128))
          let place = (row - rows.lowerBound) * columns.count + column - columns.lowerBound
          #expect(read[place] == plain[row * 200 + column] * scale)
        }
      }
    }
    // bf16 is offered where it is aligned, which an odd header spoils.
    let bf16 = try #require(source.tensor("model.embed_tokens.weight"))
    let start = bf16.stored.address(row: 0)!
    #expect((bf16.bf16(rows: 0..<3, columns: 0..<200) != nil) == (Int(bitPattern: start) % 2 == 0))
    #expect(
      try Self.withoutScales(safe, config)
        == "F/model.safetensors: tensor 'model.layers.0.mlp.gate_proj.weight' is FP8 without"
        + " 'model.layers.0.mlp.gate_proj.weight_scale_inv'; only FP8 with scales for blocks of"
        + " 128 x 128 is supported")
  }

  private static func withoutScales(_ safe: Safe, _ config: String) throws -> String? {
    var safe = safe
    safe.tensors.removeAll { $0.name.hasSuffix("_scale_inv") }
    let folder = try write(safe, config: config)
    return refusal(folder.path, in: folder)
  }

  private static func scaled(
    _ name: String, _ shape: [Int], hidden: Int, intermediate: Int
  ) -> [Int] {
    switch name {
    case "model.embed_tokens.weight", "lm_head.weight": [3, hidden]
    case let name where name.hasSuffix("down_proj.weight"): [hidden, intermediate]
    case let name where name.contains("mlp"): [intermediate, hidden]
    default: shape.map { _ in hidden }
    }
  }

  // Who saves what transformers 5 holds in memory has gate over up for all experts at once.
  @Test func fusedExpertsComeOneByOne() throws {
    let (config, header) = try Golden.model("qwen3_moe")
    let entries = try #require(JSONValueReader.shapes(header))
    var one = Safe()
    var fused = Safe()
    var stacked: [Float] = []
    var down: [Float] = []
    for (name, shape) in entries.sorted(by: { $0.0 < $1.0 }) {
      let count = shape.reduce(1, *)
      let floats = (0..<count).map { Float($0) + Float(name.hashValue % 1000) }
      one.add(name, shape, floats)
      if !name.contains("mlp.experts") { fused.add(name, shape, floats) }
    }
    for expert in 0..<4 {
      for part in ["gate", "up", "down"] {
        let name = "model.layers.1.mlp.experts.\(expert).\(part)_proj.weight"
        let bytes = try #require(one.tensors.first { $0.name == name }).bytes
        let floats = bytes.withUnsafeBytes { raw in
          (0..<(raw.count / 4)).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
        if part == "down" { down += floats } else { stacked += floats }
      }
    }
    fused.add("model.layers.1.mlp.experts.gate_up_proj", [4, 32, 32], stacked)
    fused.add("model.layers.1.mlp.experts.down_proj", [4, 32, 16], down)
    let text = FamilyTests.text(config)
    let (first, second) = (try Self.write(one, config: text), try Self.write(fused, config: text))
    let (a, b) = (try ModelSource.open(first.path), try ModelSource.open(second.path))
    #expect(a.tensorNames == b.tensorNames)
    for name in a.tensorNames {
      #expect(a.tensor(name)?.floats == b.tensor(name)?.floats, "\(name)")
    }
  }

  // DeepSeek's modules for predicting further tokens are no part of the model.
  @Test func layersBehindTheLastAreLeftAlone() throws {
    let (config, header) = try Golden.model("deepseek_v3")
    var safe = Safe()
    for (name, shape) in try #require(JSONValueReader.shapes(header)) {
      safe.add(name, "F32", shape, [UInt8](repeating: 0, count: 4 * shape.reduce(1, *)))
    }
    safe.add("model.layers.2.eh_proj.weight", [1], [1])
    let folder = try Self.write(safe, config: FamilyTests.text(config))
    #expect(refusal(folder.path, in: folder) == nil)
  }

  @Test func aCachedModelHasItsRepositorysName() throws {
    let folder = try Folder()
    folder.makeFolder("models--Qwen--Qwen3-0.6B")
    folder.makeFolder("models--Qwen--Qwen3-0.6B/snapshots")
    folder.makeFolder("models--Qwen--Qwen3-0.6B/snapshots/c1899de")
    let path = "models--Qwen--Qwen3-0.6B/snapshots/c1899de"
    folder.write(path + "/config.json", Safe.tinyConfig)
    folder.write(path + "/model.safetensors", Safe.tinyLlama().file)
    #expect(try ModelSource.open(folder(path)).name == "Qwen/Qwen3-0.6B")
  }
}
