import JSON

/// The safetensors files of a Hugging Face folder: one, or those that an index names.
enum FolderWeights {
  /// Files of one model. Count; DeepSeek-V3 has 163.
  static let fileLimit = 4096
  /// Bytes of an index. DeepSeek-V3's has 9 million.
  static let indexLimit = 256 << 20

  static func table(
    of folder: String, among names: [String]
  ) throws(ModelComplaint) -> (table: WeightTable, files: [MappedFile]) {
    // As transformers: the single file counts where both are there.
    if let file = try MappedFile.ifPresent(folder + "/model.safetensors") {
      return (try table(folder, [file], map: [:]), [file])
    }
    guard
      let index = try MappedFile.ifPresent(
        folder + "/model.safetensors.index.json", limit: indexLimit)
    else {
      let others = names.filter {
        $0.hasSuffix(".bin") || $0.hasSuffix(".pt") || $0.hasSuffix(".pth")
      }
      throw ModelComplaint(
        folder,
        "has no model.safetensors and no model.safetensors.index.json"
          + (others.isEmpty
            ? "" : "; \(others[0]) cannot be read: convert the model to safetensors"))
    }
    let map = try weightMap(index)
    var files: [MappedFile] = []
    for name in Set(map.values).sorted() {
      guard isPlainName(name), name.hasSuffix(".safetensors") else {
        throw ModelComplaint(
          index.path,
          "names the file \(quoted(name)), which is no safetensors file beside it")
      }
      guard files.count < fileLimit else {
        throw ModelComplaint(index.path, "names more than \(fileLimit) files")
      }
      files.append(try MappedFile(folder + "/" + name))
    }
    guard !files.isEmpty else { throw ModelComplaint(index.path, "names no tensors") }
    return (try table(folder, files, map: map), files)
  }

  /// Name of each tensor to the name of its file.
  private static func weightMap(_ file: MappedFile) throws(ModelComplaint) -> [String: String] {
    var scanner = HeaderScanner(file)
    var map: [String: String] = [:]
    var isThere = false
    try scanner.object { (scanner, key) throws(ModelComplaint) in
      guard key == "weight_map" else { return try scanner.skip() }
      guard !isThere else { throw scanner.complaint("'weight_map' stands twice") }
      isThere = true
      try scanner.object { (scanner, name) throws(ModelComplaint) in
        guard map.count < Safetensors.tensorLimit else {
          throw scanner.complaint("more than \(Safetensors.tensorLimit) tensors")
        }
        if map.updateValue(try scanner.string(), forKey: name) != nil {
          throw scanner.complaint("\(quoted(name)) stands twice")
        }
      }
    }
    try scanner.end()
    guard isThere else { throw ModelComplaint(file.path, "lacks 'weight_map'") }
    return map
  }

  private static func table(
    _ folder: String, _ files: [MappedFile], map: [String: String]
  ) throws(ModelComplaint) -> WeightTable {
    var table = WeightTable(path: folder)
    var listed = 0
    for file in files {
      let tensors = try Safetensors.tensors(of: file)
      table.reserve(max(tensors.count, map.count - table.places.count))
      // BERT with a head for its training keeps the encoder under a name of its own.
      let isWrapped = tensors.contains { $0.0.hasPrefix("bert.") }
      for (name, tensor) in tensors {
        let plain =
          isWrapped && name.hasPrefix("bert.") ? String(name.dropFirst("bert.".count)) : name
        listed += 1
        guard listed <= Safetensors.tensorLimit else {
          throw ModelComplaint(folder, "has more than \(Safetensors.tensorLimit) tensors")
        }
        try table.add(plain, WeightTable.Place(tensor: tensor, file: file))
      }
    }
    for (name, fileName) in map {
      let plain = name.hasPrefix("bert.") ? String(name.dropFirst("bert.".count)) : name
      guard let place = table.places[name] ?? table.places[plain],
        place.file.path == folder + "/" + fileName
      else {
        throw ModelComplaint(
          folder + "/" + fileName,
          "lacks tensor \(quoted(name)), which the index says is there; download it again")
      }
    }
    return table
  }
}
