/// Into how many ranks a model may be cut.
package enum RankRules {
  /// Beyond that an exchange costs more than a rank saves, on every machine we know of.
  package static let limit = 64

  /// Why that count is not legal, as a sentence that lists the legal ones; nil if it is.
  package static func complaint(_ ranks: Int, for shape: ModelShape) -> String? {
    let legal = legalCounts(for: shape)
    guard !legal.contains(ranks) else { return nil }
    let list = legal.map(String.init).joined(separator: ", ")
    let why = (1...limit).contains(ranks) ? reason(ranks, shape) ?? "" : "it is out of range"
    return "\(ranks) ranks cannot share this model: \(why); legal are \(list)"
  }

  package static func legalCounts(for shape: ModelShape) -> [Int] {
    (1...limit).filter { reason($0, shape) == nil }
  }

  private static func reason(_ ranks: Int, _ shape: ModelShape) -> String? {
    if ranks == 1 { return nil }
    if shape.family == .bert { return "an encoder runs on one rank" }
    switch shape.attention {
    case .grouped(let grouped):
      if grouped.heads % ranks != 0 { return "\(grouped.heads) heads are not a multiple of it" }
      if grouped.kvHeads % ranks != 0 && ranks % grouped.kvHeads != 0 {
        return "\(grouped.kvHeads) key-value heads can be neither dealt out nor repeated evenly"
      }
    case .latent(let latent):
      if latent.heads % ranks != 0 { return "\(latent.heads) heads are not a multiple of it" }
    }
    let hasDense = shape.experts.map { $0.layers.contains(false) } ?? true
    if hasDense && shape.intermediate % ranks != 0 {
      return "the feed-forward's \(shape.intermediate) rows are not a multiple of it"
    }
    guard let experts = shape.experts else { return nil }
    if experts.count % ranks != 0 { return "\(experts.count) experts are not a multiple of it" }
    if experts.shared * experts.intermediate % ranks != 0 {
      return "the shared experts' rows are not a multiple of it"
    }
    return nil
  }
}
