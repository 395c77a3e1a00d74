import ShardPlan

/// Every tensor that the files of a model list, by Hugging Face name.
struct WeightTable {
  struct Place {
    var tensor: ListedTensor
    var file: MappedFile
    var order = TensorView.Order.plain
  }

  /// Where the model came from, for complaints.
  let path: String
  private(set) var places: [String: Place] = [:]

  init(path: String) { self.path = path }

  mutating func reserve(_ count: Int) { places.reserveCapacity(places.count + count) }

  mutating func add(_ name: String, _ place: Place) throws(ModelComplaint) {
    if let other = places.updateValue(place, forKey: name) {
      throw ModelComplaint(
        place.file.path, "tensor \(quoted(name)) stands in \(other.file.path) as well")
    }
  }

  /// The views of all weights that a model of this shape has, every one of them checked: it is there,
  /// has the shape and a type that can be read. A weight that no layer of this shape reads is refused,
  /// since a model that has it computes something else.
  func views(for shape: ModelShape) throws(ModelComplaint) -> [String: TensorView] {
    var views: [String: TensorView] = [:]
    views.reserveCapacity(places.count)
    var used = Set<String>(minimumCapacity: places.count)
    try shape.forEachTensor { (expected) throws(ModelComplaint) in
      views[expected.name] = try view(of: expected, &used)
    }
    if used.count < places.count {
      for name in places.keys.sorted() where !used.contains(name) {
        try checkStranger(name, shape)
      }
    }
    return views
  }

  private func view(
    of expected: ExpectedTensor, _ used: inout Set<String>
  ) throws(ModelComplaint) -> TensorView {
    if let place = places[expected.name] {
      used.insert(expected.name)
      let shape = [expected.rows, expected.columns].compactMap { $0 }
      try check(expected.name, place, has: shape)
      let stored = try rows(
        expected.name, place, rows: expected.rows ?? 1, columns: expected.columns)
      return TensorView(
        name: expected.name, blockScales: try scales(of: stored, expected, &used), stored: stored,
        order: place.order)
    }
    if let view = try fusedView(of: expected, &used) { return view }
    let advice =
      expected.name == "lm_head.weight"
      ? "; if the head shares the embedding table, set 'tie_word_embeddings' to true" : ""
    throw ModelComplaint(
      path, "tensor \(quoted(expected.name)) is missing from its files\(advice)")
  }

  /// A part of a tensor that holds all experts of a layer; nil where there is none.
  private func fusedView(
    of expected: ExpectedTensor, _ used: inout Set<String>
  ) throws(ModelComplaint) -> TensorView? {
    guard let expert = expected.expert, let rows = expected.rows else { return nil }
    for fused in expected.fused {
      guard let place = places[fused.name] else { continue }
      used.insert(fused.name)
      try check(fused.name, place, has: [expert.count, fused.expertRows, expected.columns])
      let all = try self.rows(
        fused.name, place, rows: expert.count * fused.expertRows, columns: expected.columns)
      guard all.storage != .e4m3 else {
        throw ModelComplaint(
          place.file.path,
          "tensor \(quoted(fused.name)) holds all experts as FP8 in one; save them one by one")
      }
      let first = expert.index * fused.expertRows + fused.firstRow
      return TensorView(
        name: expected.name, blockScales: nil,
        stored: StoredRows(
          file: all.file, start: all.start + first * all.rowBytes, rows: rows,
          columns: all.columns, storage: all.storage), order: .plain)
    }
    return nil
  }

  private func check(
    _ name: String, _ place: Place, has shape: [Int]
  ) throws(ModelComplaint) {
    guard place.tensor.shape == shape else {
      throw ModelComplaint(
        place.file.path,
        "tensor \(quoted(name)) has the shape \(place.tensor.shape) where the configuration asks"
          + " for \(shape)")
    }
  }

  private func rows(
    _ name: String, _ place: Place, rows: Int, columns: Int
  ) throws(ModelComplaint) -> StoredRows {
    guard let storage = place.tensor.storage else {
      throw ModelComplaint(
        place.file.path,
        "tensor \(quoted(name)) is stored as \(place.tensor.typeName), which weights cannot be;"
          + " convert the model to BF16, F16, F32 or block FP8")
    }
    let stored = StoredRows(
      file: place.file, start: place.tensor.bytes.lowerBound, rows: rows, columns: columns,
      storage: storage)
    // Both readers have made sure of it; everything after relies on it.
    precondition(
      columns % storage.blockNumbers == 0 && stored.byteRange == place.tensor.bytes
        && stored.byteRange.upperBound <= place.file.bytes.count)
    return stored
  }

  private func scales(
    of stored: StoredRows, _ expected: ExpectedTensor, _ used: inout Set<String>
  ) throws(ModelComplaint) -> TensorView.BlockScales? {
    guard stored.storage == .e4m3 else { return nil }
    let name = expected.name + "_scale_inv"
    guard expected.rows != nil, let place = places[name] else {
      throw ModelComplaint(
        stored.file.path,
        "tensor \(quoted(expected.name)) is FP8 without \(quoted(name)); only FP8 with scales for"
          + " blocks of 128 x 128 is supported")
    }
    used.insert(name)
    let edge = TensorView.scaleBlock
    let (rows, columns) = ((stored.rows + edge - 1) / edge, (stored.columns + edge - 1) / edge)
    try check(name, place, has: [rows, columns])
    let scales = try self.rows(name, place, rows: rows, columns: columns)
    guard [.f32, .bf16, .f16].contains(scales.storage) else {
      throw ModelComplaint(
        place.file.path, "tensor \(quoted(name)) is stored as \(place.tensor.typeName), not as F32")
    }
    return TensorView.BlockScales(stored: scales)
  }

  /// A tensor that the shape does not name: harmless, or a reason to refuse.
  private func checkStranger(_ name: String, _ shape: ModelShape) throws(ModelComplaint) {
    // Buffers that old versions saved; they follow from the config.
    if name.hasSuffix(".rotary_emb.inv_freq") || name.hasSuffix("position_ids") { return }
    if shape.isTied, name == "lm_head.weight" { return }
    if shape.family == .bert, name.hasPrefix("pooler.") || name.hasPrefix("cls.") { return }
    if let layer = layer(of: name), layer >= shape.layers {
      // DeepSeek's modules for predicting further tokens stand behind the last layer.
      if shape.family == .deepseekV3 || shape.family == .deepseekV2 { return }
      throw ModelComplaint(
        path,
        "tensor \(quoted(name)) belongs to layer \(layer), but the configuration has only"
          + " \(shape.layers) layers")
    }
    throw ModelComplaint(
      path,
      "tensor \(quoted(name)) is not part of a \(shape.family.rawValue) model as the configuration"
        + " describes it; its configuration does not belong to it, or the model is of another kind")
  }

  private func layer(of name: String) -> Int? {
    for prefix in ["model.layers.", "encoder.layer."] where name.hasPrefix(prefix) {
      return Int(name.dropFirst(prefix.count).prefix { $0 != "." })
    }
    return nil
  }
}

extension [String: TensorView] {
  /// The type that holds most numbers of a model, which is what its weights are kept in unless told
  /// otherwise. Quantised and fp16 files become bf16: half of fp32, with its range.
  func mostlyStored() -> WeightType {
    var numbers: [WeightType: Int] = [:]
    for view in values {
      let type: WeightType =
        switch view.storage {
        case .f32: .fp32
        case .e4m3: .fp8
        case .bf16, .f16, .q40, .q41, .q50, .q51, .q80, .q4K, .q5K, .q6K: .bf16
        }
      numbers[type, default: 0] += view.rows * view.columns
    }
    return numbers.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key ?? .bf16
  }
}
