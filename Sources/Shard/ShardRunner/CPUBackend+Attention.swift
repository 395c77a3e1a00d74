import CShardKernels
import ShardPlan

extension CPUBackend {
  /// Multi-head attention with heads in groups. False when the group of ranks is broken.
  func grouped(_ layer: LoadedGrouped, _ pool: pk_kv, _ thread: Int) -> Bool {
    let plan = layer.plan
    let hidden = model.plan.shape.hidden
    let size = plan.headSize
    let queryWidth = plan.heads * size
    let keyWidth = plan.kvHeads * size
    linear(
      [
        LinearPart(layer.query, space.query, queryWidth),
        LinearPart(layer.key, space.key, keyWidth), LinearPart(layer.value, space.value, keyWidth),
      ], space.normed, hidden, thread)
    barrier(thread)
    if thread == 0 { pk_team_rewind(team, 0) }
    let perRow = plan.heads + plan.kvHeads
    for item in share(step.rows * perRow, thread) {
      let row = item / perRow
      let head = item % perRow
      if head < plan.heads {
        let query = space.query + row * queryWidth + head * size
        layer.queryNorm?.apply(query, query)
        turn(query, row)
      } else {
        let place = row * keyWidth + (head - plan.heads) * size
        layer.keyNorm?.apply(space.key + place, space.key + place)
        turn(space.key + place, row)
      }
    }
    barrier(thread)
    store(pool, thread) { row, head in
      let place = row * keyWidth + head * size
      return (UnsafePointer(space.key + place), UnsafePointer(space.value + place))
    }
    barrier(thread)
    attend(
      pool, heads: plan.heads, perKV: plan.heads / plan.kvHeads, scale: plan.scale, thread,
      query: (space.query, queryWidth, size), out: (space.attended, queryWidth, size))
    barrier(thread)
    return reduce(layer.output, space.attended, queryWidth, thread)
  }

  /// DeepSeek's attention in the latent's space. False when the group of ranks is broken.
  func latent(_ layer: LoadedLatent, _ pool: pk_kv, _ thread: Int) -> Bool {
    let plan = layer.plan
    let hidden = model.plan.shape.hidden
    let size = plan.plainSize + plan.ropeSize
    let queryWidth = plan.heads * size
    let keySize = plan.latent + plan.ropeSize
    let latentWidth = plan.heads * keySize
    let down = LinearPart(layer.keyValueDown, space.latent, keySize)
    switch layer.query {
    case .direct(let query):
      linear([LinearPart(query, space.query, queryWidth), down], space.normed, hidden, thread)
    case .lowRank(let first, let norm, let second):
      let rank = Int(first.matrix.rows)
      linear([LinearPart(first, space.queryLatent, rank), down], space.normed, hidden, thread)
      barrier(thread)
      for row in share(step.rows, thread) {
        norm.apply(space.queryLatent + row * rank, space.queryLatent + row * rank)
      }
      barrier(thread)
      linear([LinearPart(second, space.query, queryWidth)], space.queryLatent, rank, thread)
    }
    barrier(thread)
    if thread == 0 { pk_team_rewind(team, 0) }
    for row in share(step.rows, thread) {
      let latent = space.latent + row * keySize
      layer.keyValueNorm.apply(latent, latent)
      turn(latent + plan.latent, row)
    }
    for head in share(plan.heads, thread) {
      absorb(layer.keyUp[head], head, plan, thread)
    }
    barrier(thread)
    store(pool, thread) { row, _ in (UnsafePointer(space.latent + row * keySize), nil) }
    barrier(thread)
    attend(
      pool, heads: plan.heads, perKV: plan.heads, scale: plan.scale, thread,
      query: (space.latentQuery, latentWidth, keySize),
      out: (space.latentSum, plan.heads * plan.latent, plan.latent))
    barrier(thread)
    let valueWidth = plan.heads * plan.valueSize
    for head in share(plan.heads, thread) {
      withUnsafePointer(to: layer.valueUp[head]) {
        pk_linear(
          $0, 0, Int32($0.pointee.panels), space.latentSum + head * plan.latent,
          plan.heads * plan.latent, Int32(step.rows), space.attended + head * plan.valueSize,
          valueWidth, nil, 0)
      }
    }
    barrier(thread)
    return reduce(layer.output, space.attended, valueWidth, thread)
  }

  /// One head's queries taken into the latent's space, and their rope parts turned, behind them.
  private func absorb(_ keyUp: pk_matrix, _ head: Int, _ plan: LatentPlan, _ thread: Int) {
    let size = plan.plainSize + plan.ropeSize
    let queries = space.query + head * size
    let queryWidth = plan.heads * size
    let keySize = plan.latent + plan.ropeSize
    let target = space.latentQuery + head * keySize
    let targetWidth = plan.heads * keySize
    withUnsafePointer(to: keyUp) {
      pk_linear(
        $0, 0, Int32(keyUp.panels), queries, queryWidth, Int32(step.rows), target, targetWidth,
        nil, 0)
    }
    for row in 0..<step.rows {
      let turned = target + row * targetWidth + plan.latent
      turned.update(from: queries + row * queryWidth + plan.plainSize, count: plan.ropeSize)
      turn(turned, row)
    }
  }

  /// Rope, by the row's position.
  private func turn(_ x: UnsafeMutablePointer<Float>, _ row: Int) {
    guard let rope else { return }
    pk_rope(
      x, space.cosines + row * rope.half, space.sines + row * rope.half, Int32(rope.half),
      isInterleaved ? 1 : 0)
  }

  private var isInterleaved: Bool { model.plan.shape.rope?.isInterleaved ?? false }

  /// Keys and values of all rows into their blocks. Tiles never cross a sequence.
  private func store(
    _ pool: pk_kv, _ thread: Int,
    _ row: (Int, Int) -> (key: UnsafePointer<Float>, value: UnsafePointer<Float>?)
  ) {
    let heads = Int(pool.kv_heads)
    let blockTokens = Int(pool.block_tokens)
    withUnsafePointer(to: pool) { pool in
      for item in share(step.tiles.count * heads, thread) {
        let tile = step.tiles[item / heads]
        let head = item % heads
        for index in 0..<Int(tile.count) {
          let position = Int(tile.position) + index
          let block = step.blocks[Int(tile.blockStart) + position / blockTokens]
          let (key, value) = row(Int(tile.first) + index, head)
          pk_kv_store(pool, block, Int32(position % blockTokens), Int32(head), key, value)
        }
      }
    }
  }

  /// Attention of all tiles and heads; threads take what is next, since late tiles cost more.
  ///
  /// A tile of one row, which is decoding, takes the heads that share keys and values together, up to
  /// a tile's height; a tall one takes one head, whose rows share them.
  private func attend(
    _ pool: pk_kv, heads: Int, perKV: Int, scale: Float, _ thread: Int,
    query: (base: UnsafeMutablePointer<Float>, width: Int, size: Int),
    out: (base: UnsafeMutablePointer<Float>, width: Int, size: Int)
  ) {
    let items = step.tiles.count * heads
    let scratch = space.attentionScratch[thread]
    withUnsafePointer(to: pool) { pool in
      while true {
        let item = Int(pk_team_take(team, 0, Int32(items), 1))
        guard item < items else { return }
        // The longest first: the last to finish is then a short one.
        let tile = step.tiles[step.tiles.count - 1 - item / heads]
        let head = item % heads
        let first = Int(tile.first)
        let queries = query.base + first * query.width + head * query.size
        let results = out.base + first * out.width + head * out.size
        let blocks = step.blocks + Int(tile.blockStart)
        guard tile.count == 1 else {
          pk_attention(
            pool, blocks, Int32(head / perKV), queries, query.width, tile.count, tile.position,
            scale, results, out.width, scratch)
          continue
        }
        let place = head % perKV
        guard place % Tile.rows == 0 else { continue }
        pk_attention_group(
          pool, blocks, Int32(head / perKV), queries, query.size,
          Int32(min(Tile.rows, perKV - place)), tile.position, scale, results, out.size, scratch)
      }
    }
  }
}
