import JSON
import KServe
import WorkerAPI

/// What a client wants embedded, and how it wants the vectors.
struct EmbedRequest: Equatable, Sendable {
  enum Format: String, Sendable {
    case float
    /// Little-endian floats of 32 bits, as base64: a third of the bytes, and what OpenAI's own
    /// clients ask for.
    case base64
  }

  /// Tokens of all texts, behind each other.
  var tokens: [Int32] = []
  /// Where each text ends in them.
  var ends: [Int] = []
  /// Floats of a vector that are wanted.
  var dimensions: Int
  var format = Format.float
  /// Where it came by KServe's protocol.
  var inference: EmbedInference?

  var count: Int { ends.count }

  func text(_ index: Int) -> ArraySlice<Int32> {
    tokens[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
  }

  mutating func append(_ text: some Collection<Int32>) {
    tokens += text
    ends.append(tokens.count)
  }
}

/// From the bytes of a body to a request. Pure, and Sendable, so that a long body is read away from
/// the loop.
struct EmbedPreparation: Sendable {
  enum Endpoint: Equatable, Sendable {
    case embeddings
    /// KServe's, over HTTP. `jsonBytes`: of the body that are JSON; nil for all.
    case infer(model: String, version: String, jsonBytes: Int?)
    /// KServe's, over gRPC: the body is a message.
    case inferMessage
  }

  let endpoint: Endpoint
  let model: EmbedModel
  let settings: EmbedSettings

  func run(_ body: UnsafeRawBufferPointer) -> Result<EmbedRequest, APIError> {
    do throws(APIError) {
      return .success(try request(body))
    } catch {
      return .failure(error)
    }
  }

  private func request(_ body: UnsafeRawBufferPointer) throws(APIError) -> EmbedRequest {
    switch endpoint {
    case .embeddings: return try embeddings(body)
    case .infer(let name, let version, let jsonBytes):
      return try infer(
        try InferQuery(
          body: body, jsonBytes: jsonBytes, model: name, version: version,
          valueLimit: settings.valueLimit))
    case .inferMessage:
      let query = try InferQuery(message: body)
      guard query.envelope.modelName == model.name else {
        throw .unknown(query.envelope.modelName, served: model.name)
      }
      try ModelVersion.check(query.envelope.modelVersion, of: model.name)
      return try infer(query)
    }
  }

  private func embeddings(_ body: UnsafeRawBufferPointer) throws(APIError) -> EmbedRequest {
    let fields = try Body.read(body, valueLimit: settings.valueLimit)
    if let name = try fields.text("model"), name != model.name {
      throw .unknown(name, served: model.name)
    }
    var request = EmbedRequest(dimensions: model.size)
    if let value = fields["encoding_format"] {
      guard let format = value.text.flatMap(EmbedRequest.Format.init(rawValue:)) else {
        throw .invalid("encoding_format", "'encoding_format' must be 'float' or 'base64'.")
      }
      request.format = format
    }
    try readDimensions(fields["dimensions"], into: &request)
    guard let input = fields["input"] else { throw .invalid("input", "'input' is missing.") }
    try read(input, into: &request)
    return request
  }

  func readDimensions(
    _ value: JSONValue?, into request: inout EmbedRequest
  ) throws(APIError) {
    guard let value, value != .null else { return }
    guard let number = value.integer, (1...model.size).contains(number) else {
      throw .invalid(
        "dimensions",
        "'dimensions' must be a whole number from 1 to \(model.size), which is what this model "
          + "has.")
    }
    request.dimensions = number
  }

  // MARK: Inputs

  func check(count: Int) throws(APIError) {
    guard count <= settings.inputLimit else {
      throw .invalid(
        "input",
        "'input' holds \(count) texts; at most \(settings.inputLimit) are embedded by one request.")
    }
  }

  private static let inputs =
    "'input' must be a text, a list of texts, a list of tokens, or a list of such lists"

  private func read(_ input: JSONValue, into request: inout EmbedRequest) throws(APIError) {
    if let text = input.text { return request.append(model.encode(text)) }
    guard let elements = input.elements else {
      throw .invalid("input", "\(Self.inputs), not \(input.kind).")
    }
    switch elements.first {
    case nil: throw .invalid("input", "'input' is an empty list; it needs at least one text.")
    case .number: try append(tokens: elements, "'input'", to: &request)
    case .string, .array, .bool, .null, .object:
      try check(count: elements.count)
      for (index, element) in elements.enumerated() {
        switch (element, elements[0]) {
        case (.string(let text), .string): request.append(model.encode(text))
        case (.array(let tokens), .array):
          try append(tokens: tokens, "'input[\(index)]'", to: &request)
        default:
          throw .invalid("input", "\(Self.inputs); element \(index) is \(element.kind).")
        }
      }
    }
  }

  /// Tokens stand for themselves: nothing is put around them, and the end of too long a list is cut.
  private func append(
    tokens: [JSONValue], _ name: String, to request: inout EmbedRequest
  ) throws(APIError) {
    guard !tokens.isEmpty else { throw .invalid("input", "\(name) is a list without tokens.") }
    var ids: [Int32] = []
    for (index, token) in tokens.enumerated() {
      guard let id = token.integer, (0..<model.vocabulary).contains(id) else {
        throw .invalid(
          "input",
          "\(name) holds what is no token at place \(index); tokens of this model are whole "
            + "numbers from 0 to \(model.vocabulary - 1).")
      }
      if ids.count < model.tokenLimit { ids.append(Int32(id)) }
    }
    request.append(ids)
  }
}
