/// What one rank of a group computes, layer by layer: the model as data. A backend loads the
/// weights that are named here and executes the layers in order; it knows no families.
package struct ModelPlan: Equatable, Sendable {
  package var shape: ModelShape
  package var rank: Int
  package var ranks: Int
  /// This rank's rows of the vocabulary. Ranks add their rows up: for a token that another rank has,
  /// they add nothing.
  package var embedding: MatrixPlan
  package var layers: [LayerPlan]
  /// Decoders only.
  package var head: HeadPlan?
  /// Encoders only.
  package var encoder: EncoderPlan?

  /// Where each rank's rows of the vocabulary begin, and the end: `ranks + 1` numbers. Whole panels
  /// of 16 rows, as matrices are packed.
  package static func vocabularyBounds(_ vocabulary: Int, ranks: Int) -> [Int] {
    let panels = (vocabulary + 15) / 16
    return (0...ranks).map { min(vocabulary, panels * $0 / ranks * 16) }
  }
}

/// From the last layer to logits.
package struct HeadPlan: Equatable, Sendable {
  package var norm: NormPlan
  /// This rank's rows; the embedding's own matrix where the model is tied.
  package var matrix: MatrixPlan
}

package struct LayerPlan: Equatable, Sendable {
  package var attentionNorm: NormPlan
  package var attention: AttentionPlan
  package var feedForwardNorm: NormPlan
  package var feedForward: FeedForwardPlan
}

package struct NormPlan: Equatable, Sendable {
  package var weight: VectorPlan
  /// Only BERT's LayerNorms have one, and subtract the mean.
  package var bias: VectorPlan?
  package var epsilon: Float

  package init(_ weight: VectorPlan, bias: VectorPlan? = nil, epsilon: Float) {
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
  }
}

package enum AttentionPlan: Equatable, Sendable {
  case grouped(GroupedPlan)
  case latent(LatentPlan)
}

/// Heads of this rank, with their own keys and values.
package struct GroupedPlan: Equatable, Sendable {
  package var heads: Int
  package var kvHeads: Int
  package var headSize: Int
  package var query: LinearPlan
  package var key: LinearPlan
  package var value: LinearPlan
  package var queryNorm: NormPlan?
  package var keyNorm: NormPlan?
  /// Its sum over ranks is added to the residual stream.
  package var output: LinearPlan
  /// The scores are multiplied by it.
  package var scale: Float
}

/// DeepSeek's attention, absorbed: queries are taken into the latent's space, so that the cache has
/// one latent per token, for all heads, and keys and values of heads are never made.
package struct LatentPlan: Equatable, Sendable {
  package enum Query: Equatable, Sendable {
    case direct(LinearPlan)
    case lowRank(down: LinearPlan, norm: NormPlan, up: LinearPlan)
  }

  package var heads: Int
  package var latent: Int
  package var plainSize: Int
  package var ropeSize: Int
  package var valueSize: Int
  package var query: Query
  /// To latent and shared rope key: latent + ropeSize rows, on every rank.
  package var keyValueDown: LinearPlan
  package var keyValueNorm: NormPlan
  /// Of each head: from the plain part of a query to the latent, and from a latent to a value.
  package var keyUp: [MatrixPlan]
  package var valueUp: [MatrixPlan]
  package var output: LinearPlan
  package var scale: Float
}

package enum FeedForwardPlan: Equatable, Sendable {
  case dense(DensePlan)
  case experts(ExpertsPlan)
}

/// down(silu(gate x) * up x); in BERT, without a gate, down(gelu(up x)).
package struct DensePlan: Equatable, Sendable {
  package var gate: LinearPlan?
  package var up: LinearPlan
  package var down: LinearPlan

  package var width: Int { up.matrix.rows }
}

package struct ExpertsPlan: Equatable, Sendable {
  package var rules: ModelShape.Experts
  package var router: MatrixPlan
  package var choiceBias: VectorPlan?
  /// Those of this rank, whole: experts are dealt out, not cut, so that FP8 blocks stay whole.
  package var owned: Range<Int>
  package var experts: [DensePlan]
  /// Cut like a dense feed-forward.
  package var shared: DensePlan?
}

package struct EncoderPlan: Equatable, Sendable {
  package var positions: MatrixPlan
  package var tokenTypes: MatrixPlan
  package var norm: NormPlan
}
