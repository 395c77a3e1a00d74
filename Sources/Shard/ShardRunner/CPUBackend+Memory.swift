import CShardKernels
import ShardPlan

extension CPUBackend {
  /// Elements that rope turns.
  static func ropeSize(_ shape: ModelShape) -> Int {
    switch shape.attention {
    case .grouped(let grouped): grouped.headSize
    case .latent(let latent): latent.ropeSize
    }
  }

  /// Bytes of a KV pool of one rank.
  package static func kvBytes(
    _ plan: ModelPlan, _ limits: BackendLimits, _ type: WeightType
  ) -> Int { limits.blocks * blockBytes(plan, limits.blockTokens, type) }

  /// Bytes of one block in all layers.
  package static func blockBytes(_ plan: ModelPlan, _ blockTokens: Int, _ type: WeightType) -> Int {
    plan.layers.reduce(0) { sum, layer in
      let (keys, values) = layerBytes(layer, blockTokens, type)
      return sum + keys + values
    }
  }

  static func pools(
    _ plan: ModelPlan, _ limits: BackendLimits, _ type: WeightType,
    _ memory: UnsafeMutableRawPointer
  ) -> [pk_kv] {
    var cursor = memory
    return plan.layers.map { layer in
      let (keyBytes, valueBytes) = layerBytes(layer, limits.blockTokens, type)
      let keys = cursor
      let values = cursor + keyBytes * limits.blocks
      cursor += (keyBytes + valueBytes) * limits.blocks
      switch layer.attention {
      case .grouped(let grouped):
        return pk_kv(
          keys: keys, values: values, type: type.kernelType,
          block_tokens: Int32(limits.blockTokens), kv_heads: Int32(grouped.kvHeads),
          key_size: Int32(grouped.headSize), value_size: Int32(grouped.headSize),
          value_stride: Int32(grouped.headSize))
      case .latent(let latent):
        // The latent is the first part of the key, and all of the value.
        let size = Int32(latent.latent + latent.ropeSize)
        return pk_kv(
          keys: keys, values: keys, type: type.kernelType,
          block_tokens: Int32(limits.blockTokens), kv_heads: 1, key_size: size,
          value_size: Int32(latent.latent), value_stride: size)
      }
    }
  }

  private static func layerBytes(
    _ layer: LayerPlan, _ blockTokens: Int, _ type: WeightType
  ) -> (keys: Int, values: Int) {
    func bytes(_ heads: Int, _ size: Int) -> Int {
      pk_kv_block_bytes(type.kernelType, Int32(blockTokens), Int32(heads), Int32(size))
    }
    switch layer.attention {
    case .grouped(let grouped):
      let one = bytes(grouped.kvHeads, grouped.headSize)
      return (one, one)
    case .latent(let latent): return (bytes(1, latent.latent + latent.ropeSize), 0)
    }
  }
}
