import JSON
import ShardPlan
import Testing

@testable import ModelFiles

/// The files beside the weights: templates, special tokens, defaults of drawing, and an encoder's own.
struct TextFilesTests {
  static func folder(_ files: [String: String]) throws -> Folder {
    let folder = try FolderTests.write(.tinyLlama())
    for (name, text) in files { folder.write(name, text) }
    return folder
  }

  /// The source of a folder that goes with this call, mappings and all texts but the tokenizer stay.
  static func open(_ folder: Folder) throws -> ModelSource {
    try withExtendedLifetime(folder) { try ModelSource.open(folder.path) }
  }

  @Test func aFolderWithoutTextsHasNone() throws {
    let source = try Self.open(Self.folder([:]))
    #expect(source.chatTemplate == nil && source.specialTokens == SpecialTokens())
    #expect(source.defaults == GenerationDefaults())
    guard case .missing = try source.tokenizer() else {
      Issue.record("a tokenizer from nowhere")
      return
    }
  }

  @Test(arguments: [
    ("\"T\"", "T"),
    (
      "[{\"name\": \"tool\", \"template\": \"U\"}, {\"name\": \"default\","
        + " \"template\": \"T\"}]", "T"
    ), ("null", nil), ("{\"default\": \"T\"}", "T"),
  ])
  func chatTemplatesInAllTheirForms(json: String, expected: String?) throws {
    let folder = try Self.folder(["tokenizer_config.json": "{\"chat_template\": \(json)}"])
    #expect(try ModelSource.open(folder.path).chatTemplate == expected)
    // The file of its own is newer.
    folder.write("chat_template.jinja", "J\n")
    #expect(try ModelSource.open(folder.path).chatTemplate == "J\n")
  }

  @Test func aTemplateThatIsNoneIsRefused() throws {
    let folder = try Self.folder([
      "tokenizer_config.json": "{\"chat_template\": [{\"name\": \"tool\", \"template\": \"U\"}]}"
    ])
    #expect(
      refusal(folder.path, in: folder)
        == "F/tokenizer_config.json: 'chat_template' is neither a text of at most 1048576 bytes nor"
        + " a list with one named 'default'")
  }

  @Test func specialTokensAreTextsOrObjects() throws {
    let folder = try Self.folder([
      "tokenizer_config.json":
        "{\"bos_token\": {\"content\": \"<s>\", \"lstrip\": false}, \"eos_token\": \"</s>\","
        + " \"pad_token\": null}",
      "special_tokens_map.json": "{\"pad_token\": \"<pad>\", \"eos_token\": \"other\"}",
      "tokenizer.json": "{\"model\": {}}",
    ])
    let source = try Self.open(folder)
    #expect(source.specialTokens.beginning == "<s>")
    #expect(source.specialTokens.end == "</s>")
    #expect(source.specialTokens.padding == "<pad>")
    #expect(source.specialTokens.unknown == nil)
    guard case .huggingFace(let file, let config) = try source.tokenizer() else {
      Issue.record("no tokenizer")
      return
    }
    #expect(file == Array("{\"model\": {}}".utf8) && config?["eos_token"] == .string("</s>"))
  }

  @Test func defaultsOfDrawing() throws {
    let source = try Self.open(
      Self.folder([
        "generation_config.json":
          "{\"do_sample\": true, \"temperature\": 0.6, \"top_p\": 0.95, \"top_k\": 20,"
          + " \"min_p\": 0.05, \"repetition_penalty\": 1.05, \"eos_token_id\": [1, 2],"
          + " \"max_new_tokens\": 100, \"transformers_version\": \"4.51\"}"
      ])
    )
    #expect(source.defaults.temperature == 0.6 && source.defaults.topP == 0.95)
    #expect(source.defaults.topK == 20 && source.defaults.minP == 0.05)
    #expect(source.defaults.repetitionPenalty == 1.05 && source.defaults.maxNewTokens == 100)
    #expect(source.defaults.endTokens == [1, 2])
    // Llama's own default of 2, then what this file adds.
    #expect(source.shape.endTokens == [2, 1])
    let greedy = try Self.open(
      Self.folder(["generation_config.json": "{\"do_sample\": false, \"temperature\": 0.6}"])
    )
    #expect(greedy.defaults.temperature == 0)
    let folder = try Self.folder(["generation_config.json": "{\"temperature\": -1}"])
    #expect(
      refusal(folder.path, in: folder)
        == "F/generation_config.json: 'temperature' is -1, outside 0.0...100.0")
  }

  static func encoder(_ files: [String: String]) throws -> Folder {
    let (config, header) = try Golden.model("bert")
    let folder = try Folder()
    folder.write("config.json", FamilyTests.text(config))
    folder.write("model.safetensors", Safe.file(header), size: try FamilyTests.size(header))
    folder.makeFolder("1_Pooling")
    for (name, text) in files { folder.write(name, text) }
    return folder
  }

  // all-MiniLM-L6-v2 as published; without its modules a BERT means the plain mean.
  @Test func howAnEncodersVectorsBecomeOne() throws {
    let plain = try Self.open(Self.encoder([:])).shape
    #expect(
      plain.encoder == .init(positions: 64, tokenTypes: 2, pooling: .mean, normalised: false))
    #expect(plain.normEpsilon == 1e-12 && plain.contextLimit == 64 && plain.rope == nil)
    let modules = """
      [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
       {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
       {"idx": 2, "name": "2", "path": "2_Normalize", "type":
        "sentence_transformers.models.Normalize"}]
      """
    let pooling = """
      {"word_embedding_dimension": 32, "pooling_mode_cls_token": true,
       "pooling_mode_mean_tokens": false, "pooling_mode_max_tokens": false}
      """
    let whole = try Self.open(
      Self.encoder([
        "modules.json": modules, "1_Pooling/config.json": pooling,
        "sentence_bert_config.json": "{\"max_seq_length\": 48, \"do_lower_case\": false}",
      ])
    ).shape
    #expect(
      whole.encoder == .init(positions: 64, tokenTypes: 2, pooling: .first, normalised: true))
    #expect(whole.contextLimit == 48)
  }

  @Test(arguments: [
    (
      "[{\"type\": \"a.Transformer\"}, {\"type\": \"a.Dense\", \"path\": \"2_Dense\"}]",
      "F/modules.json: module 1 of type 'a.Dense' is not supported; supported are Transformer,"
        + " Pooling and Normalize, in this order"
    ),
    (
      "[{\"type\": \"a.Transformer\"}, {\"type\": \"a.Pooling\", \"path\": \"../x\"}]",
      "F/modules.json: module path '../x' does not name a folder beside it"
    ),
    (
      "[{\"type\": \"a.Transformer\"}, {\"type\": \"a.Pooling\", \"path\": \"1_Pooling\"}]",
      "F/1_Pooling/config.json: pooling 'pooling_mode_max_tokens' is not supported, only mean or cls"
    ),
    ("{}", "F/modules.json: is not a list"),
  ])
  func otherPoolingsAreRefused(modules: String, sentence: String) throws {
    let folder = try Self.encoder([
      "modules.json": modules, "1_Pooling/config.json": "{\"pooling_mode_max_tokens\": true}",
    ])
    #expect(refusal(folder.path, in: folder) == sentence)
  }
}
