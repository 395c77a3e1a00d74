import JSON
import ShardPlan
import Testing

@testable import ModelFiles

/// Shapes of every family, from what transformers itself saves and from published configs.
struct FamilyTests {
  // The names and sizes that a layer plan asks for are those that transformers saves, of each family
  // with all its switches: a missing one would be refused, and so would one too many.
  @Test(arguments: [
    "llama", "llama-biased", "llama-tied", "qwen2", "qwen3", "qwen3_moe", "deepseek_v2",
    "deepseek_v2-groups", "deepseek_v3", "bert",
  ])
  func whatTransformersSavesOpens(name: String) throws {
    let (config, header) = try Golden.model(name)
    let folder = try Folder()
    folder.write("config.json", Self.text(config))
    folder.write(
      "model.safetensors", Safe.file(header), size: try Self.size(header))
    let source = try ModelSource.open(folder.path)
    #expect(source.shape.storedType == .fp32)
    #expect(source.shape.hidden == 32 && source.shape.layers == 2)
    let listed = try #require(JSONValue(header).members?.keys.filter { $0 != "__metadata__" })
    let expected = name == "bert" ? listed.filter { !$0.hasPrefix("pooler") } : listed
    #expect(source.tensorNames == expected.sorted())
    try readAll(source)
  }

  @Test func aLlamaOfTheFifthGeneration() throws {
    let shape = try Self.shape(Golden.model("llama").config)
    #expect(
      shape.rope
        == .init(
          theta: 500_000,
          scaling: .llama3(factor: 8, lowFrequency: 1, highFrequency: 4, original: 32)))
    #expect(
      shape.attention == .grouped(.init(heads: 4, kvHeads: 2, headSize: 8)))
    #expect(shape.endTokens == [3] && !shape.isTied && shape.contextLimit == 64)
    let biased = try Self.shape(Golden.model("llama-biased").config)
    #expect(
      biased.attention
        == .grouped(.init(heads: 4, kvHeads: 2, headSize: 8, qkvBias: true, outputBias: true)))
    #expect(biased.feedForwardBias)
    #expect(try Self.shape(Golden.model("llama-tied").config).isTied)
  }

  // Llama 3.1 8B as published, in the keys of the fourth generation.
  @Test func aLlamaOfTheFourthGeneration() throws {
    let shape = try Self.shape(
      """
      {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
       "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu",
       "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
       "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
       "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
       "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0,
       "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
       "rope_type": "llama3"}, "rope_theta": 500000.0, "tie_word_embeddings": false,
       "torch_dtype": "bfloat16", "transformers_version": "4.42.3", "use_cache": true,
       "vocab_size": 128256}
      """)
    #expect(shape.endTokens == [128001, 128008, 128009])
    #expect(shape.attention == .grouped(.init(heads: 32, kvHeads: 8, headSize: 128)))
    #expect(shape.normEpsilon == 1e-5 && shape.contextLimit == 131072)
    #expect(
      shape.rope?.scaling
        == .llama3(factor: 8, lowFrequency: 1, highFrequency: 4, original: 8192))
  }

  // The bias of q, k and v is no key of Qwen2's, and a window that is not used stays in its config.
  @Test func qwen2HasBiasesWithoutSayingSo() throws {
    let shape = try Self.shape(
      """
      {"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
       "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 3584, "initializer_range": 0.02,
       "intermediate_size": 18944, "max_position_embeddings": 32768, "max_window_layers": 28,
       "model_type": "qwen2", "num_attention_heads": 28, "num_hidden_layers": 28,
       "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
       "sliding_window": 131072, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
       "use_cache": true, "use_sliding_window": false, "vocab_size": 152064,
       "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"}}
      """)
    #expect(
      shape.attention
        == .grouped(.init(heads: 28, kvHeads: 4, headSize: 128, qkvBias: true, outputBias: false)))
    guard case .yarn(4, 32, 1, 32768, true, let factor, 1) = shape.rope?.scaling else {
      Issue.record("\(String(describing: shape.rope))")
      return
    }
    #expect(abs(factor - 1.138_629_436) < 1e-9)
    // YaRN was switched on to get there.
    #expect(shape.contextLimit == 131072)
  }

  @Test func qwen3HasNormsPerHeadAndAHeadSizeOfItsOwn() throws {
    let base = """
      {"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072,
       "max_position_embeddings": 40960, "num_attention_heads": 16, "num_hidden_layers": 28,
       "num_key_value_heads": 8, "rope_theta": 1000000, "tie_word_embeddings": true,
       "vocab_size": 151936
      """
    let norms = ModelShape.GroupedAttention(
      heads: 16, kvHeads: 8, headSize: 128, headNorms: true)
    #expect(try Self.shape(base + ", \"head_dim\": 128}").attention == .grouped(norms))
    // Its class has 128 as the default, not hidden / heads.
    #expect(try Self.shape(base + "}").attention == .grouped(norms))
  }

  @Test func qwen3MoEInBothSpellings() throws {
    let shape = try Self.shape(Golden.model("qwen3_moe").config)
    let experts = ModelShape.Experts(
      count: 4, perToken: 2, intermediate: 16, shared: 0, scoring: .softmax, hasChoiceBias: false,
      groups: 1, groupsKept: 1, groupScore: .maximum, normalised: true, scale: 1,
      layers: [false, true])
    #expect(shape.experts == experts)
    let old = try Self.shape(
      """
      {"decoder_sparse_step": 2, "head_dim": 128, "hidden_size": 2048, "intermediate_size": 6144,
       "max_position_embeddings": 40960, "mlp_only_layers": [3], "model_type": "qwen3_moe",
       "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32,
       "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 6,
       "num_key_value_heads": 4, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.001,
       "sliding_window": null, "vocab_size": 151936}
      """)
    #expect(old.experts?.layers == [false, true, false, false, false, true])
  }

  @Test func deepSeekV2WithYarnScalesItsScores() throws {
    let shape = try Self.shape(Golden.model("deepseek_v2").config)
    #expect(
      shape.attention
        == .latent(
          .init(heads: 4, queryRank: nil, latent: 16, plainSize: 8, ropeSize: 4, valueSize: 12)))
    guard case .yarn(4, 32, 1, 16, true, let factor, let scores) = shape.rope?.scaling else {
      Issue.record("\(String(describing: shape.rope))")
      return
    }
    #expect(factor == 1)
    // (0.1 * 0.707 * ln 4 + 1)^2
    #expect(abs(scores - 1.205628181) < 1e-8)
    #expect(shape.rope?.isInterleaved == true)
    #expect(shape.experts?.shared == 2 && shape.experts?.groups == 1)
    let grouped = try Self.shape(Golden.model("deepseek_v2-groups").config)
    #expect(
      grouped.experts
        == .init(
          count: 4, perToken: 2, intermediate: 16, shared: 2, scoring: .softmax,
          hasChoiceBias: false, groups: 2, groupsKept: 1, groupScore: .maximum, normalised: false,
          scale: 16, layers: [false, true]))
  }

  // The published config of V3, with its FP8.
  @Test func deepSeekV3() throws {
    let shape = try Self.shape(
      """
      {"architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "auto_map": {"AutoModel":
       "modeling_deepseek.DeepseekV3Model"}, "aux_loss_alpha": 0.001, "bos_token_id": 0,
       "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu",
       "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512,
       "max_position_embeddings": 163840, "model_type": "deepseek_v3",
       "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256,
       "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 128,
       "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
       "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
       "qk_rope_head_dim": 64, "quantization_config": {"activation_scheme": "dynamic", "fmt":
       "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}, "rms_norm_eps": 1e-06,
       "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0,
       "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, "type": "yarn"},
       "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "seq_aux": true,
       "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc",
       "torch_dtype": "bfloat16", "v_head_dim": 128, "vocab_size": 129280}
      """)
    #expect(
      shape.attention
        == .latent(
          .init(
            heads: 128, queryRank: 1536, latent: 512, plainSize: 128, ropeSize: 64, valueSize: 128))
    )
    #expect(
      shape.experts
        == .init(
          count: 256, perToken: 8, intermediate: 2048, shared: 1, scoring: .sigmoid,
          hasChoiceBias: true, groups: 8, groupsKept: 4, groupScore: .sumOfTopTwo,
          normalised: true, scale: 2.5, layers: (0..<61).map { $0 >= 3 }))
    guard case .yarn(40, 32, 1, 4096, true, 1, let scores) = shape.rope?.scaling else {
      Issue.record("\(String(describing: shape.rope))")
      return
    }
    #expect(abs(scores - 1.873854207) < 1e-8)
    var count = 0
    try shape.forEachTensor { _ in count += 1 }
    // 58 layers of 256 experts with three weights each, and the rest.
    #expect(count == 58 * (256 * 3 + 2 + 3) + 3 * 3 + 61 * (2 + 7) + 3)
  }

  static func shape(_ text: String) throws -> ModelShape { try shape(JSONValue(text)) }

  static func shape(_ value: JSONValue) throws -> ModelShape {
    try Config(ConfigReader("config.json", value)).shape()
  }

  /// The file that a header describes: transformers' tensors fill it.
  static func size(_ header: String) throws -> Int {
    let entries = try #require(JSONValue(header).members)
    let ends = entries.values.compactMap { $0["data_offsets"]?.elements?.last?.integer }
    return 8 + header.utf8.count + (ends.max() ?? 0)
  }

  static func text(_ value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .bool(let flag): "\(flag)"
    case .number(let number): Int(exactly: number).map { "\($0)" } ?? "\(number)"
    case .string(let text): JSONText.quoted(text)
    case .array(let elements): "[" + elements.map(text).joined(separator: ",") + "]"
    case .object(let members):
      "{" + members.map { JSONText.quoted($0) + ":" + text($1) }.joined(separator: ",") + "}"
    }
  }
}

extension JSONValue {
  var members: [String: JSONValue]? {
    guard case .object(let members) = self else { return nil }
    return members
  }
}
