import JSON
import ShardPlan
import Testing

@testable import ModelFiles

/// What a config may not say. Each is a llama of four heads with one thing changed.
struct ConfigTests {
  static let base: [String: String] = [
    "model_type": "\"llama\"", "hidden_size": "32", "num_hidden_layers": "2",
    "num_attention_heads": "4", "num_key_value_heads": "2", "intermediate_size": "48",
    "vocab_size": "40", "max_position_embeddings": "64", "rope_theta": "10000.0",
  ]

  static func outcome(_ changes: [String: String?]) throws -> Result<ModelShape, ModelComplaint> {
    var members = base
    for (name, value) in changes { members[name] = value }
    let text = "{" + members.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    let value = try JSONValue(text)
    return Result { () throws(ModelComplaint) in
      try Config(ConfigReader("config.json", value)).shape()
    }
  }

  static func sentence(_ changes: [String: String?]) throws -> String? {
    guard case .failure(let complaint) = try outcome(changes) else { return nil }
    #expect(complaint.path == "config.json")
    return complaint.problem
  }

  @Test func theBaseItselfIsFine() throws {
    #expect(try Self.sentence([:]) == nil)
    // Null is as good as absent.
    #expect(try Self.sentence(["rope_scaling": "null", "sliding_window": "null"]) == nil)
  }

  // Sizes that are made of absurd numbers would overflow, or ask for all memory.
  @Test(arguments: [
    ("hidden_size", "0", "'hidden_size' is 0, not a whole number in 1...131072"),
    ("hidden_size", "-32", "'hidden_size' is -32, not a whole number in 1...131072"),
    (
      "hidden_size", "1e18",
      "'hidden_size' is 1000000000000000000, not a whole number in 1...131072"
    ),
    ("hidden_size", "1e300", "'hidden_size' is 1e+300, not a whole number in 1...131072"),
    ("hidden_size", "32.5", "'hidden_size' is 32.5, not a whole number in 1...131072"),
    ("hidden_size", "\"32\"", "'hidden_size' is not a number"),
    (
      "hidden_size", "34",
      "'hidden_size' 34 is not a multiple of 'num_attention_heads' 4, and there is no 'head_dim'"
    ),
    ("head_dim", "7", "a head of 7 elements cannot be turned in pairs"),
    (
      "num_key_value_heads", "3",
      "'num_attention_heads' 4 is not a multiple of 'num_key_value_heads' 3"
    ),
    (
      "num_hidden_layers", "100000", "'num_hidden_layers' is 100000, not a whole number in 1...1024"
    ),
    ("vocab_size", "null", "lacks 'vocab_size'; it belongs to every model of this kind"),
    ("rms_norm_eps", "0", "'rms_norm_eps' is 0, outside 1e-20...0.1"),
    ("rms_norm_eps", "2", "'rms_norm_eps' is 2, outside 1e-20...0.1"),
    (
      "eos_token_id", "[2, 40]",
      "'eos_token_id' holds what is no token id below the vocabulary of 40"
    ),
    ("eos_token_id", "-1", "'eos_token_id' holds what is no token id below the vocabulary of 40"),
    ("attention_bias", "1", "'attention_bias' is neither true nor false"),
  ])
  func absurdNumbersAreRefused(name: String, value: String, sentence: String) throws {
    #expect(try Self.sentence([name: value]) == sentence)
  }

  // Each of these computes something else than what is written in this house.
  @Test(arguments: [
    ("hidden_act", "\"gelu\"", "hidden_act 'gelu' is not supported; of llama it is silu"),
    (
      "model_type", "\"mistral\"",
      "model_type 'mistral' is not supported; supported are llama, qwen2, qwen3, qwen3_moe,"
        + " deepseek_v2, deepseek_v3 and bert"
    ),
    (
      "model_type", "null",
      "lacks 'model_type'; supported are llama, qwen2, qwen3, qwen3_moe, deepseek_v2, deepseek_v3"
        + " and bert"
    ),
    (
      "architectures", "[\"LlamaForSequenceClassification\"]",
      "architecture 'LlamaForSequenceClassification' is not supported; of llama it is"
        + " LlamaForCausalLM"
    ),
    ("sliding_window", "4096", "'sliding_window' is set; sliding windows are not supported"),
    (
      "use_sliding_window", "true",
      "'use_sliding_window' is true; sliding windows are not supported"
    ),
    (
      "layer_types", "[\"full_attention\", \"sliding_attention\"]",
      "'layer_types' has 'sliding_attention'; every layer has to be full_attention"
    ),
    (
      "attn_logit_softcapping", "50.0",
      "'attn_logit_softcapping' is set, which changes the model's arithmetic in a way that is not"
        + " supported"
    ),
    (
      "logit_scale", "0.5",
      "'logit_scale' is set, which changes the model's arithmetic in a way that is not supported"
    ),
    ("num_local_experts", "8", "'num_local_experts' is set, but llama has no experts"),
    (
      "vision_config", "{\"a\": 1}",
      "'vision_config' is set, which changes the model's arithmetic in a way that is not supported"
    ),
    (
      "quantization_config", "{\"quant_method\": \"awq\", \"bits\": 4}",
      "quantization_config has quant_method 'awq'; only fp8 with blocks of 128 x 128 is supported:"
        + " use the unquantised model"
    ),
    (
      "quantization_config", "{\"quant_method\": \"fp8\", \"weight_block_size\": [64, 128]}",
      "quantization_config has no weight_block_size of [128, 128]: use the unquantised model"
    ),
    (
      "quantization_config",
      "{\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128], \"fmt\": \"e5m2\"}",
      "FP8 format 'e5m2' is not supported, only e4m3"
    ),
    (
      "quantization", "{\"bits\": 4}", "'quantization' is not supported; use the unquantised model"
    ),
  ])
  func otherArithmeticIsRefused(name: String, value: String, sentence: String) throws {
    #expect(try Self.sentence([name: value]) == sentence)
  }

  @Test func whatDoesNotTouchTheArithmeticPasses() throws {
    #expect(
      try Self.sentence([
        "attention_dropout": "0.1", "use_cache": "true", "pretraining_tp": "2",
        "unsloth_version": "\"2025\"", "logit_scale": "1.0", "no_rope_layers": "[]",
        "auto_map": "{\"AutoModel\": \"x.Y\"}", "torch_dtype": "\"float16\"",
        "hidden_act": "\"silu\"",
      ]) == nil)
  }

  @Test(arguments: [
    (
      ["rope_theta": "null"],
      "lacks 'rope_theta', at the top and in 'rope_parameters'; add the one the model was trained"
        + " with (10000 in Llama 2)"
    ),
    (["rope_theta": "-1"], "'rope_theta' is -1, outside 1.0...1000000000000000.0"),
    (["rope_theta": "1"], "'rope_theta' must be above 1"),
    (
      ["rope_scaling": "{\"type\": \"dynamic\", \"factor\": 2.0}"],
      "rope type 'dynamic' is not supported; supported are default, linear, llama3 and yarn"
    ),
    (
      ["rope_scaling": "{\"rope_type\": \"longrope\"}"],
      "rope type 'longrope' is not supported; supported are default, linear, llama3 and yarn"
    ),
    (
      ["rope_scaling": "{\"type\": \"linear\", \"rope_type\": \"yarn\", \"factor\": 2.0}"],
      "the rope has the types 'yarn' and 'linear'"
    ),
    (
      ["rope_scaling": "{\"type\": \"linear\"}"],
      "lacks 'factor'; it belongs to every model of this kind"
    ),
    (
      ["rope_scaling": "{\"type\": \"linear\", \"factor\": 0.5}"],
      "'factor' is 0.5, outside 1.0...65536.0"
    ),
    (
      ["rope_scaling": "{\"rope_type\": \"default\", \"mrope_section\": [16, 24, 24]}"],
      "the rope's key 'mrope_section' is not known for its type"
    ),
    (
      ["rope_parameters": "{\"full_attention\": {\"rope_type\": \"default\"}}"],
      "the rope's key 'full_attention' is not known for its type"
    ),
    (
      ["rope_parameters": "{\"rope_type\": \"default\", \"partial_rotary_factor\": 0.5}"],
      "'partial_rotary_factor' below 1 is not supported"
    ),
    (
      [
        "rope_scaling": "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4,"
          + " \"high_freq_factor\": 4}"
      ], "'low_freq_factor' 4.0 is not below 'high_freq_factor' 4.0"
    ),
    (
      [
        "rope_scaling": "{\"type\": \"linear\", \"factor\": 2}",
        "rope_parameters": "{\"rope_type\": \"default\"}",
      ],
      "'rope_scaling' and 'rope_parameters' differ; remove the one that is not meant"
    ),
    (["rope_scaling": "3"], "'rope_scaling' is not an object"),
  ])
  func strangeRopesAreRefused(changes: [String: String], sentence: String) throws {
    #expect(try Self.sentence(changes) == sentence)
  }

  @Test func ropesOfBothGenerations() throws {
    func rope(_ changes: [String: String]) throws -> ModelShape.Rope? {
      try Self.outcome(changes).get().rope
    }
    #expect(
      try rope(["rope_scaling": "{\"type\": \"linear\", \"factor\": 2.0}"])
        == .init(theta: 10_000, scaling: .linear(factor: 2)))
    #expect(
      try rope(["rope_theta": "null", "rope_parameters": "{\"rope_theta\": 5e5}"])
        == .init(theta: 500_000))
    // Inside counts before outside.
    #expect(
      try rope(["rope_parameters": "{\"rope_theta\": 5e5, \"rope_type\": \"default\"}"])
        == .init(theta: 500_000))
    // What YaRN computes when told, and when not.
    #expect(
      try rope([
        "rope_scaling":
          "{\"type\": \"yarn\", \"factor\": 4, \"attention_factor\": 1.5, \"beta_fast\": 16,"
          + " \"truncate\": false}"
      ])
        == .init(
          theta: 10_000,
          scaling: .yarn(
            factor: 4, betaFast: 16, betaSlow: 1, original: 64, truncates: false,
            attentionFactor: 1.5, scoreScale: 1)))
  }

  @Test(arguments: [
    (
      ["n_group": "3"],
      "4 experts in 3 groups of which 1 are kept do not fit together"
    ),
    (["topk_group": "3"], "4 experts in 2 groups of which 3 are kept do not fit together"),
    (
      ["num_experts_per_tok": "3"],
      "'num_experts_per_tok' 3 is more than the 2 experts that can be chosen"
    ),
    (["n_group": "4"], "'num_experts_per_tok' 2 is more than the 1 experts that can be chosen"),
    (["n_group": "4", "num_experts_per_tok": "1"], "groups of one expert have no top two to sum"),
    (["topk_method": "\"greedy\""], "topk_method 'greedy' is not what deepseek_v3 has"),
    (["scoring_func": "\"softmax\""], "scoring_func 'softmax' is not what deepseek_v3 has"),
    (["moe_layer_freq": "2"], "'moe_layer_freq' 2 is not supported, only 1"),
    (
      ["num_key_value_heads": "2"],
      "'num_key_value_heads' 2 differs from 'num_attention_heads' 4, which latent attention does not"
        + " have"
    ),
    (["qk_rope_head_dim": "5"], "'qk_rope_head_dim' 5 cannot be turned in pairs"),
    (
      ["n_routed_experts": "null"],
      "lacks 'n_routed_experts'; it belongs to every model of this kind"
    ),
    (
      ["index_topk": "2048"],
      "'index_topk' is set, which changes the model's arithmetic in a way that is not supported"
    ),
  ])
  func expertsThatDoNotFitAreRefused(changes: [String: String], sentence: String) throws {
    guard case .object(var members) = try Golden.model("deepseek_v3").config else { return }
    for (name, value) in changes { members[name] = try JSONValue(value) }
    #expect(throws: ModelComplaint("config.json", sentence)) {
      try Config(ConfigReader("config.json", .object(members))).shape()
    }
  }

  @Test func whatIsNoConfigIsRefused() throws {
    let folder = try Folder()
    for (text, sentence) in [
      ("", "not JSON at byte 0: the text ends where a value should begin"),
      ("{\"a\":1,\"a\":2}", "not JSON at byte 7: the name stands twice in one object"),
    ] {
      folder.write("config.json", text)
      #expect(refusal(folder.path, in: folder) == "F/config.json: is \(sentence)")
    }
    folder.write("config.json", "[]")
    #expect(refusal(folder.path, in: folder) == "F/config.json: is not a JSON object")
    folder.write("config.json", "{}", size: 5 << 20)
    #expect(
      refusal(folder.path, in: folder)
        == "F/config.json: is 5242880 bytes long, more than the 4194304 allowed here")
  }
}

extension Folder {
  func write(_ name: String, _ text: String, size: Int) { write(name, text.utf8, size: size) }
}
