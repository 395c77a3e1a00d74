import CShardKernels
import ShardPlan

/// The weights of one rank, packed as the kernels read them. Immutable once loaded; freed with its
/// last reference.
final class LoadedModel {
  let plan: ModelPlan
  let embedding: pk_matrix
  let layers: [LoadedLayer]
  let head: LoadedHead?
  let encoder: LoadedEncoder?
  /// Matrices, scales and vectors. Bytes.
  let bytes: Int
  private let memory: UnsafeMutableRawPointer
  private let memoryBytes: Int

  init(
    _ plan: ModelPlan, embedding: pk_matrix, layers: [LoadedLayer], head: LoadedHead?,
    encoder: LoadedEncoder?, bytes: Int, memory: UnsafeMutableRawPointer, memoryBytes: Int
  ) {
    self.plan = plan
    self.embedding = embedding
    self.layers = layers
    self.head = head
    self.encoder = encoder
    self.bytes = bytes
    self.memory = memory
    self.memoryBytes = memoryBytes
  }

  deinit { pk_memory_unmap(memory, memoryBytes) }
}

struct LoadedLinear {
  var matrix: pk_matrix
  var bias: UnsafePointer<Float>?

  var panels: Int { matrix.panels }
}

struct LoadedNorm {
  let weight: UnsafePointer<Float>
  let bias: UnsafePointer<Float>?
  let size: Int
  let epsilon: Float

  /// `out` may be `x`.
  func apply(_ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>) {
    if let bias {
      pk_layer_norm(x, weight, bias, Int32(size), epsilon, out)
    } else {
      pk_rms_norm(x, weight, Int32(size), epsilon, out)
    }
  }
}

struct LoadedLayer {
  let attentionNorm: LoadedNorm
  let attention: LoadedAttention
  let feedForwardNorm: LoadedNorm
  let feedForward: LoadedFeedForward
}

enum LoadedAttention {
  case grouped(LoadedGrouped)
  case latent(LoadedLatent)
}

struct LoadedGrouped {
  let plan: GroupedPlan
  let query: LoadedLinear
  let key: LoadedLinear
  let value: LoadedLinear
  let queryNorm: LoadedNorm?
  let keyNorm: LoadedNorm?
  let output: LoadedLinear
}

struct LoadedLatent {
  enum Query {
    case direct(LoadedLinear)
    case lowRank(down: LoadedLinear, norm: LoadedNorm, up: LoadedLinear)
  }

  let plan: LatentPlan
  let query: Query
  let keyValueDown: LoadedLinear
  let keyValueNorm: LoadedNorm
  let keyUp: [pk_matrix]
  let valueUp: [pk_matrix]
  let output: LoadedLinear
}

enum LoadedFeedForward {
  case dense(LoadedDense)
  case experts(LoadedExperts)
}

struct LoadedDense {
  let gate: LoadedLinear?
  let up: LoadedLinear
  let down: LoadedLinear
}

struct LoadedExperts {
  let plan: ExpertsPlan
  let router: pk_matrix
  let choiceBias: UnsafePointer<Float>?
  let experts: [LoadedDense]
  let shared: LoadedDense?
}

struct LoadedHead {
  let norm: LoadedNorm
  let matrix: pk_matrix
}

struct LoadedEncoder {
  let positions: pk_matrix
  let tokenTypes: pk_matrix
  let norm: LoadedNorm
}

extension pk_matrix {
  /// Rows come in panels of 16.
  var panels: Int { (Int(rows) + 15) / 16 }
}

extension WeightType {
  var kernelType: Int32 {
    switch self {
    case .fp32: Int32(PK_FP32)
    case .bf16: Int32(PK_BF16)
    case .fp8: Int32(PK_FP8)
    }
  }
}
