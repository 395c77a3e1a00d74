import CShardKernels
import ShardPlan

extension CPUBackend {
  /// False when the group of ranks is broken.
  func dense(_ layer: LoadedDense, _ thread: Int) -> Bool {
    halfway(layer, thread)
    barrier(thread)
    return reduce(layer.down, space.gated, Int(layer.up.matrix.rows), thread)
  }

  /// silu(gate x) * up x of all rows, this thread's panels of it.
  private func halfway(_ layer: LoadedDense, _ thread: Int) {
    let panels = share(layer.up.panels, thread)
    gate(
      layer, panels, space.normed, rows: step.rows, out: space.gated,
      width: Int(layer.up.matrix.rows))
  }

  private func gate(
    _ layer: LoadedDense, _ panels: Range<Int>, _ x: UnsafePointer<Float>, rows: Int,
    out: UnsafeMutablePointer<Float>, width: Int
  ) {
    guard let gate = layer.gate else { preconditionFailure("decoders gate their feed-forward") }
    withUnsafePointer(to: gate.matrix) { gateMatrix in
      withUnsafePointer(to: layer.up.matrix) { upMatrix in
        pk_gated(
          gateMatrix, upMatrix, Int32(panels.lowerBound), Int32(panels.upperBound), x,
          model.plan.shape.hidden, Int32(rows), out, width, gate.bias, layer.up.bias)
      }
    }
  }

  /// A feed-forward of experts. Each expert computes the tokens that chose it; a token's sum runs
  /// over its experts in the order of their numbers, whoever else is in the batch. With ranks, each
  /// computes its own experts and its part of the shared one, and one sum over ranks ends it.
  func experts(_ layer: LoadedExperts, _ thread: Int) -> Bool {
    guard let routing = space.routing else { preconditionFailure("experts without room") }
    let hidden = model.plan.shape.hidden
    let count = layer.plan.rules.count
    let panels = share(layer.router.panels, thread)
    withUnsafePointer(to: layer.router) {
      pk_linear(
        $0, Int32(panels.lowerBound), Int32(panels.upperBound), space.normed, hidden,
        Int32(step.rows), space.router, count, nil, 0)
    }
    if let shared = layer.shared { halfway(shared, thread) }
    barrier(thread)
    for row in share(step.rows, thread) {
      routing.choose(
        row, scores: space.router + row * count, bias: layer.choiceBias, layer.plan.rules)
    }
    barrier(thread)
    if thread == 0 {
      routing.arrange(rows: step.rows, owned: layer.plan.owned)
      pk_team_rewind(team, 1)
    }
    barrier(thread)
    compute(layer, routing, thread)
    barrier(thread)
    let isCut = collective.count > 1
    let target = isCut ? partials(step.rows * hidden, thread) : space.stream
    if let shared = layer.shared {
      let panels = share(shared.down.panels, thread)
      withUnsafePointer(to: shared.down.matrix) {
        pk_linear(
          $0, Int32(panels.lowerBound), Int32(panels.upperBound), space.gated,
          Int(shared.up.matrix.rows), Int32(step.rows), target, hidden, shared.down.bias,
          isCut ? 0 : 1)
      }
      barrier(thread)
    } else if isCut {
      for row in share(step.rows, thread) {
        (target + row * hidden).update(repeating: 0, count: hidden)
      }
    }
    for row in share(step.rows, thread) {
      routing.forEachSlot(of: row) { slot, weight in
        pk_add_scaled(target + row * hidden, space.slotOutput + slot * hidden, weight, hidden)
      }
    }
    return sum(step.rows * hidden, into: space.stream, thread)
  }

  /// Whole experts, taken by whoever is free.
  private func compute(_ layer: LoadedExperts, _ routing: ExpertRouting, _ thread: Int) {
    let hidden = model.plan.shape.hidden
    let width = layer.plan.rules.intermediate
    while true {
      let item = Int(pk_team_take(team, 1, Int32(routing.active.count), 1))
      guard item < routing.active.count else { return }
      let active = routing.active[item]
      let slots = active.slots
      for slot in slots {
        (space.slotInput + slot * hidden).update(
          from: space.normed + routing.row(of: slot) * hidden, count: hidden)
      }
      let expert = layer.experts[active.expert - layer.plan.owned.lowerBound]
      gate(
        expert, 0..<expert.up.panels, space.slotInput + slots.lowerBound * hidden,
        rows: slots.count, out: space.slotGated + slots.lowerBound * width, width: width)
      withUnsafePointer(to: expert.down.matrix) {
        pk_linear(
          $0, 0, Int32(expert.down.panels), space.slotGated + slots.lowerBound * width, width,
          Int32(slots.count), space.slotOutput + slots.lowerBound * hidden, hidden,
          expert.down.bias, 0)
      }
    }
  }
}
