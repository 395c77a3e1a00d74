import JSON
import ShardPlan

/// How an encoder's vectors become one, as sentence-transformers keeps it beside config.json. A folder
/// without these files means what it does for a plain BERT: the mean, not normalised.
enum EncoderFiles {
  static func apply(
    _ folder: String, to shape: inout ModelShape
  ) throws(ModelComplaint) {
    guard var encoder = shape.encoder else { return }
    if let file = try MappedFile.ifPresent(
      folder + "/modules.json", limit: ConfigReader.limit)
    {
      try modules(file, folder, &encoder)
    }
    shape.encoder = encoder
    if let file = try MappedFile.ifPresent(
      folder + "/sentence_bert_config.json", limit: ConfigReader.limit)
    {
      // Longer texts are cut there, so that vectors are those of the published model.
      let reader = try ConfigReader(file)
      let limit = try reader.count(
        "max_seq_length", Believable.context, default: encoder.positions)
      shape.contextLimit = min(limit, encoder.positions)
    }
  }

  private static func modules(
    _ file: MappedFile, _ folder: String, _ encoder: inout ModelShape.Encoder
  ) throws(ModelComplaint) {
    guard let modules = try ConfigReader.json(file).elements else {
      throw ModelComplaint(file.path, "is not a list")
    }
    for (index, module) in modules.enumerated() {
      let reader = try ConfigReader(file.path, module)
      let type = try reader.text("type") ?? ""
      switch (index, type.split(separator: ".").last) {
      case (0, "Transformer"): continue
      case (1, "Pooling"):
        let name = try reader.text("path") ?? ""
        guard isPlainName(name) else {
          throw reader.refuse("module path \(quoted(name)) does not name a folder beside it")
        }
        encoder.pooling = try pooling(
          MappedFile(
            folder + "/" + name + "/config.json", limit: ConfigReader.limit))
      case (2, "Normalize"): encoder.normalised = true
      default:
        throw reader.refuse(
          "module \(index) of type \(quoted(type)) is not supported; supported are Transformer,"
            + " Pooling and Normalize, in this order")
      }
    }
  }

  private static func pooling(_ file: MappedFile) throws(ModelComplaint)
    -> ModelShape.Encoder.Pooling
  {
    let reader = try ConfigReader(file)
    var chosen: [String] = []
    if let mode = try reader.text("pooling_mode") { chosen.append(mode) }
    for name in reader.names where name.hasPrefix("pooling_mode_") {
      if try reader.flag(name, default: false) { chosen.append(name) }
    }
    switch chosen {
    case ["pooling_mode_mean_tokens"], ["mean"]: return .mean
    case ["pooling_mode_cls_token"], ["cls"]: return .first
    default:
      throw reader.refuse(
        "pooling \(quoted(chosen.joined(separator: " and "))) is not supported, only mean or cls")
    }
  }
}

/// A name of something that lies directly within a folder.
func isPlainName(_ name: String) -> Bool {
  !name.isEmpty && name.utf8.count <= 255 && !name.hasPrefix(".")
    && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
}
