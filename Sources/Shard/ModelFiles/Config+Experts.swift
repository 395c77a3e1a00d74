import JSON
import ShardPlan

/// Mixtures of experts: how each family chooses and weighs them.
extension Config {
  /// Qwen3-MoE: a softmax over all, the best few.
  func plainExperts(layers: Int) throws(ModelComplaint) -> ModelShape.Experts {
    // transformers 5 saves `num_experts` under the second name.
    let name = reader["num_experts"] == nil ? "num_local_experts" : "num_experts"
    let count = try reader.count(name, Believable.experts)
    let step = try reader.count("decoder_sparse_step", Believable.layers, default: 1)
    var dense = Set<Int>()
    if let list = reader["mlp_only_layers"] {
      for element in list.elements ?? [list] {
        guard let layer = element.integer, layer >= 0, layer < layers else {
          throw reader.refuse("'mlp_only_layers' holds what is no layer below \(layers)")
        }
        dense.insert(layer)
      }
    }
    return try checked(
      ModelShape.Experts(
        count: count, perToken: try reader.count("num_experts_per_tok", Believable.experts),
        intermediate: try reader.count("moe_intermediate_size", Believable.intermediate),
        shared: 0, scoring: .softmax, hasChoiceBias: false, groups: 1, groupsKept: 1,
        groupScore: .maximum, normalised: try reader.flag("norm_topk_prob", default: false),
        scale: 1, layers: (0..<layers).map { !dense.contains($0) && ($0 + 1) % step == 0 }))
  }

  /// DeepSeek V2 and V3. nil where every layer is dense.
  func groupedExperts(layers: Int) throws(ModelComplaint) -> ModelShape.Experts? {
    guard reader["n_routed_experts"] != nil else {
      throw reader.refuse("lacks 'n_routed_experts'; it belongs to every model of this kind")
    }
    let firstSparse = try reader.count(
      "first_k_dense_replace", 0...Believable.layers.upperBound,
      default: family == .deepseekV3 ? 3 : 0)
    guard firstSparse < layers else { return nil }
    let frequency = try reader.count("moe_layer_freq", Believable.layers, default: 1)
    guard frequency == 1 else {
      throw reader.refuse("'moe_layer_freq' \(frequency) is not supported, only 1")
    }
    let isV3 = family == .deepseekV3
    let method = try reader.text("topk_method") ?? (isV3 ? "noaux_tc" : "greedy")
    guard isV3 ? method == "noaux_tc" : ["greedy", "group_limited_greedy"].contains(method) else {
      throw reader.refuse("topk_method \(quoted(method)) is not what \(family.rawValue) has")
    }
    let scoring = try reader.text("scoring_func") ?? (isV3 ? "sigmoid" : "softmax")
    guard scoring == (isV3 ? "sigmoid" : "softmax") else {
      throw reader.refuse("scoring_func \(quoted(scoring)) is not what \(family.rawValue) has")
    }
    let normalised = try reader.flag("norm_topk_prob", default: isV3)
    if normalised, !isV3 {
      // Its own code divides and then forgets the scale, transformers scales and does not divide.
      throw reader.refuse("'norm_topk_prob' true is not supported in deepseek_v2")
    }
    let hasGroups = method != "greedy"
    return try checked(
      ModelShape.Experts(
        count: try reader.count("n_routed_experts", Believable.experts),
        perToken: try reader.count(
          "num_experts_per_tok", Believable.experts, default: isV3 ? 8 : nil),
        intermediate: try reader.count("moe_intermediate_size", Believable.intermediate),
        shared: try reader.count("n_shared_experts", 0...1024, default: 0),
        scoring: isV3 ? .sigmoid : .softmax, hasChoiceBias: isV3,
        groups: try hasGroups ? reader.count("n_group", Believable.experts) : 1,
        groupsKept: try hasGroups ? reader.count("topk_group", Believable.experts) : 1,
        groupScore: isV3 ? .sumOfTopTwo : .maximum, normalised: normalised,
        scale: Float(
          try reader.real("routed_scaling_factor", 1e-6...1e6, default: isV3 ? 2.5 : 1)),
        layers: (0..<layers).map { $0 >= firstSparse }))
  }

  private func checked(_ experts: ModelShape.Experts) throws(ModelComplaint) -> ModelShape.Experts {
    let size = experts.count / experts.groups
    guard experts.count % experts.groups == 0, experts.groupsKept <= experts.groups else {
      throw reader.refuse(
        "\(experts.count) experts in \(experts.groups) groups of which \(experts.groupsKept) are"
          + " kept do not fit together")
    }
    guard experts.perToken <= size * experts.groupsKept else {
      throw reader.refuse(
        "'num_experts_per_tok' \(experts.perToken) is more than the \(size * experts.groupsKept)"
          + " experts that can be chosen")
    }
    if experts.groupScore == .sumOfTopTwo, experts.groups > 1, size < 2 {
      throw reader.refuse("groups of one expert have no top two to sum")
    }
    return experts
  }
}
