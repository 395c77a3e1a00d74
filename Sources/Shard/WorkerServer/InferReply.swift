import GRPC
import HTTPServer
import JSON
import KServe
import WorkerAPI

/// The tensors of texts, for KServe's protocol over either way.
enum InferAnswer {
  static let textOutput = "text_output"
  static let finishOutput = "finish_reason"
  static let promptTokensOutput = "num_input_tokens"
  static let tokensOutput = "num_output_tokens"
  static let outputs = [textOutput, finishOutput, promptTokensOutput, tokensOutput]

  /// Whole texts: an element for each, in the order of their prompts.
  static func whole(_ job: Job, _ inference: TextInference) -> InferResponse {
    response(
      job, inference, shape: inference.shape(of: job.choices.count), job.choices,
      texts: job.choices.map(\.text))
  }

  /// A piece of the one text of a stream.
  static func piece(
    _ job: Job, _ inference: TextInference, _ choice: Choice, _ shown: String
  ) -> InferResponse {
    response(job, inference, shape: inference.shape(of: 1), [choice], texts: [shown])
  }

  private static func response(
    _ job: Job, _ inference: TextInference, shape: [Int64], _ choices: [Choice], texts: [String]
  ) -> InferResponse {
    let envelope = inference.envelope
    var outputs: [InferTensor] = []
    if envelope.wants(textOutput, byDefault: true) {
      var tensor = InferTensor(textOutput, .bytes, shape)
      tensor.contents.bytes = texts.map { Array($0.utf8) }
      outputs.append(tensor)
    }
    if envelope.wants(finishOutput, byDefault: false) {
      var tensor = InferTensor(finishOutput, .bytes, shape)
      tensor.contents.bytes = choices.map { Array(($0.finish ?? "").utf8) }
      outputs.append(tensor)
    }
    if envelope.wants(promptTokensOutput, byDefault: false) {
      var tensor = InferTensor(promptTokensOutput, .uint32, shape)
      tensor.contents.uint32s = choices.map {
        UInt32(clamping: job.request.prompts[$0.prompt].tokens.count)
      }
      outputs.append(tensor)
    }
    if envelope.wants(tokensOutput, byDefault: false) {
      var tensor = InferTensor(tokensOutput, .uint32, shape)
      tensor.contents.uint32s = choices.map { UInt32(clamping: $0.tokens) }
      outputs.append(tensor)
    }
    return envelope.response(outputs)
  }
}

/// KServe's `infer` over HTTP: whole answers.
final class InferReply: HTTPReply, TextReply {
  func begin(_ job: Job) {}
  func show(_ job: Job, _ choice: Choice, _ shown: String) {}
  func close(_ job: Job, _ choice: Choice) {}

  func end(_ job: Job) {
    guard let inference = job.request.inference else { return }
    let (bytes, jsonBytes) = inference.envelope.body(InferAnswer.whole(job, inference))
    guard let jsonBytes else { return respond(bytes) }
    responder.respond(
      200, contentType: "application/octet-stream",
      fields: [(InferEnvelope.lengthField, "\(jsonBytes)")], body: bytes)
  }

  func refuse(_ error: APIError) { error.answerKServe(responder) }
  func fail(_ error: APIError) { refuse(error) }
}

/// Triton's `generate` and `generate_stream`: texts without tensors.
final class GenerateReply: HTTPReply, TextReply {
  func begin(_ job: Job) {
    responder.beginStream(
      200, contentType: Self.eventStream, fields: [("Cache-Control", "no-cache")])
    for choice in job.choices where !choice.text.isEmpty { event(job, choice.text) }
  }

  func show(_ job: Job, _ choice: Choice, _ shown: String) { event(job, shown) }

  func close(_ job: Job, _ choice: Choice) {}

  private func event(_ job: Job, _ text: String) {
    responder.write(Array("data: ".utf8) + Self.json(job, [text]) + Array("\n\n".utf8))
  }

  func end(_ job: Job) {
    if job.request.isStreamed { return responder.end() }
    respond(Self.json(job, job.choices.map(\.text)))
  }

  /// One text stands as it is, several as a list.
  private static func json(_ job: Job, _ texts: [String]) -> [UInt8] {
    let envelope = job.request.inference?.envelope
    var json = JSONText(capacity: 128)
    json.object {
      if let id = envelope?.id, !id.isEmpty { $0.put("id", id) }
      $0.put("model_name", envelope?.modelName)
      $0.put("model_version", ModelVersion.only)
      if texts.count == 1 {
        $0.put("text_output", texts[0])
      } else {
        $0.array("text_output") { for text in texts { $0.value(text) } }
      }
    }
    return json.bytes
  }

  func refuse(_ error: APIError) { error.answerKServe(responder) }

  func fail(_ error: APIError) {
    responder.write(Array("data: ".utf8) + error.kserve + Array("\n\n".utf8))
    // Without the last chunk, no client takes it for a whole answer.
    responder.cut()
  }
}
