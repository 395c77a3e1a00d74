import JSON
import KServe
import Synchronization
import WorkerAPI

/// From the bytes of a body to what is to be done: parse, check, render, encode. Pure, and Sendable,
/// so that a long body is read away from the loop.
struct Preparation: Sendable {
  enum Endpoint: Equatable, Sendable {
    case chat
    case completion
    case tokenize
    case detokenize
    /// KServe's, over HTTP. `jsonBytes`: of the body that are JSON; nil for all.
    case infer(model: String, version: String, jsonBytes: Int?)
    /// Triton's.
    case generate(model: String, version: String, isStreamed: Bool)
    /// KServe's, over gRPC: the body is a message.
    case inferMessage(isStreamed: Bool)

    /// Asks for texts.
    var generates: Bool { self != .tokenize && self != .detokenize }
  }

  enum Outcome: Sendable {
    case generation(TextRequest)
    /// A whole answer, as JSON.
    case answer([UInt8])
  }

  let endpoint: Endpoint
  let card: ModelCard
  let text: any TextModel
  let settings: WorkerSettings
  let bounds: ContextBounds

  func run(_ body: UnsafeRawBufferPointer) -> Result<Outcome, APIError> {
    do throws(APIError) {
      return .success(try outcome(body))
    } catch {
      return .failure(error)
    }
  }

  private func outcome(_ body: UnsafeRawBufferPointer) throws(APIError) -> Outcome {
    switch endpoint {
    case .chat, .completion, .tokenize, .detokenize: return try openAI(body)
    case .infer(let model, let version, let jsonBytes):
      let query = try InferQuery(
        body: body, jsonBytes: jsonBytes, model: model, version: version,
        valueLimit: settings.valueLimit)
      return .generation(try infer(query, isStreamed: false))
    case .generate(let model, let version, let isStreamed):
      return .generation(
        try generate(body, model: model, version: version, isStreamed: isStreamed))
    case .inferMessage(let isStreamed):
      let query = try InferQuery(message: body)
      try card.check(query.envelope.modelName)
      try ModelVersion.check(query.envelope.modelVersion, of: card.name)
      return .generation(try infer(query, isStreamed: isStreamed))
    }
  }

  private func openAI(_ body: UnsafeRawBufferPointer) throws(APIError) -> Outcome {
    let fields = try Body.read(body, valueLimit: settings.valueLimit)
    let model = try fields.text("model") ?? card.name
    try card.check(model)
    switch endpoint {
    case .chat: return .generation(try chat(fields, RawBody(body), model))
    case .completion: return .generation(try completion(fields, model))
    case .tokenize: return .answer(try tokenize(fields, RawBody(body)))
    case .detokenize: return .answer(try detokenize(fields))
    case .infer, .generate, .inferMessage: preconditionFailure("not of OpenAI's API")
    }
  }
}

/// The body's bytes, for members that are passed on as they stand.
struct RawBody {
  private let json: RawJSON
  private let members: [(name: String, value: Range<Int>)]

  /// Bytes that are no UTF-8 become U+FFFD, as they did in the values.
  init(_ body: UnsafeRawBufferPointer) {
    let isText = String(validating: body, as: UTF8.self) != nil
    json = RawJSON(bytes: isText ? Array(body) : Array(String(decoding: body, as: UTF8.self).utf8))
    members = json.members(of: 0..<json.bytes.count)
  }

  /// A part of its own, with its bytes from 0.
  subscript(_ name: String) -> RawJSON? {
    members.last { $0.name == name }.map { RawJSON(bytes: Array(json.bytes[$0.value])) }
  }
}

/// Nobody waits for a result any more. Set on the loop, read where the work is done.
final class Cancellation: Sendable {
  private let flag = Atomic(false)

  func cancel() { flag.store(true, ordering: .relaxed) }
  var isCancelled: Bool { flag.load(ordering: .relaxed) }
}
