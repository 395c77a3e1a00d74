import GRPC
import JSON
import KServe
import WorkerAPI

/// What a request of KServe's protocol has beside its texts.
struct TextInference: Equatable, Sendable {
  var envelope: InferEnvelope
  /// Lengths of the input's shape behind the first that counts texts: `[1]` for `[n, 1]`.
  var inner: [Int64] = []
  /// Triton's clients may ask for the end of a text as a response of its own.
  var wantsEmptyFinal = false

  /// For so many texts.
  func shape(of count: Int) -> [Int64] { [Int64(count)] + inner }
}

/// KServe's `infer`, and Triton's `generate`: their members are those of completions, so a text is the
/// same whichever way it is asked for.
extension Preparation {
  static let textInputs = ["text_input", "prompt"]

  func infer(_ query: InferQuery, isStreamed: Bool) throws(APIError) -> TextRequest {
    try query.envelope.check(outputs: InferAnswer.outputs)
    var inference = TextInference(envelope: query.envelope)
    var members = query.parameters
    var texts: [String]?
    for input in query.inputs {
      guard Self.textInputs.contains(input.name) else {
        members[input.name] = try input.parameter()
        continue
      }
      guard texts == nil else {
        throw .invalid(
          input.name, "'text_input' and 'prompt' mean the same; only one of them may be there.")
      }
      guard input.shape.count <= 2, input.shape.count < 2 || input.shape[1] == 1 else {
        throw .invalid(
          input.name, "The shape of '\(input.name)' must be [n] or [n,1], not \(input.shownShape).")
      }
      texts = try input.texts()
      inference.inner = Array(input.shape.dropFirst())
    }
    guard let texts, !texts.isEmpty else {
      throw .invalid("text_input", "The input 'text_input' is missing, or has no elements.")
    }
    members["prompt"] = .array(texts.map { .string($0) })
    inference.wantsEmptyFinal = members["triton_enable_empty_final_response"]?.flag == true
    return try finish(members, inference, isStreamed: isStreamed)
  }

  /// - Parameter fields: those of the body; Triton's clients put parameters beside `text_input`, or
  ///   into an object of their own.
  func generate(
    _ body: UnsafeRawBufferPointer, model: String, version: String, isStreamed: Bool
  ) throws(APIError) -> TextRequest {
    let fields = try Body.read(body, valueLimit: settings.valueLimit)
    var members = fields.all
    if let parameters = fields["parameters"] {
      guard case .object(let inner) = parameters else {
        throw .invalid("parameters", "'parameters' must be an object, not \(parameters.kind).")
      }
      members.merge(inner) { outer, _ in outer }
    }
    guard let input = fields["text_input"] ?? fields["prompt"] else {
      throw .invalid("text_input", "'text_input' is missing.")
    }
    members["prompt"] = input
    let envelope = InferEnvelope(
      modelName: model, modelVersion: version, id: try fields.text("id") ?? "")
    return try finish(members, TextInference(envelope: envelope), isStreamed: isStreamed)
  }

  private func finish(
    _ members: [String: JSONValue], _ inference: TextInference, isStreamed: Bool
  ) throws(APIError) -> TextRequest {
    var members = members
    // The client has chosen by the method, and log probabilities have no output.
    members["stream"] = .bool(isStreamed)
    for name in ["model", "stream_options", "logprobs"] { members[name] = nil }
    try readSamplingParameters(&members)
    if let excludes = members["exclude_input_in_output"]?.flag {
      members["echo"] = .bool(!excludes)
    }
    var request = try completion(try Fields(.object(members)), inference.envelope.modelName)
    let texts = request.prompts.count * request.choices
    guard !isStreamed || texts == 1 else {
      throw .invalid(
        "text_input",
        "A stream is of one text, and \(texts) are asked for; send a request for each.")
    }
    request.inference = inference
    return request
  }

  /// vLLM's backend for Triton is given them as JSON in a text; what stands beside it counts over it.
  private func readSamplingParameters(_ members: inout [String: JSONValue]) throws(APIError) {
    guard let text = members.removeValue(forKey: "sampling_parameters")?.text, !text.isEmpty else {
      return
    }
    let inner = try Array(text.utf8).lend { (bytes) throws(APIError) in
      try Body.read(bytes, valueLimit: settings.valueLimit)
    }
    members.merge(inner.all) { outer, _ in outer }
  }
}
