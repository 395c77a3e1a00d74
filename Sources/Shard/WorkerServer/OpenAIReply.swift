import HTTPServer
import WorkerAPI

/// OpenAI's shapes over HTTP.
final class OpenAIReply: HTTPReply, TextReply {
  private let answers: AnswerText
  /// The load report for a client that wants one, as it is at that moment.
  private let loadFields: () -> [(String, String)]

  init(
    _ responder: HTTPResponder, _ answers: AnswerText,
    loadFields: @escaping () -> [(String, String)]
  ) {
    self.answers = answers
    self.loadFields = loadFields
    super.init(responder)
  }

  func begin(_ job: Job) {
    responder.beginStream(
      200, contentType: Self.eventStream, fields: loadFields() + [("Cache-Control", "no-cache")])
    for choice in job.choices {
      if job.request.kind == .chat { responder.write(answers.opening(job, choice.index)) }
      // What was echoed stands before the first text, and has no log probabilities.
      guard !choice.text.isEmpty else { continue }
      responder.write(answers.piece(job, choice, [], choice.text))
    }
  }

  func show(_ job: Job, _ choice: Choice, _ shown: String) {
    responder.write(answers.piece(job, choice, choice.logprobs, shown))
  }

  func close(_ job: Job, _ choice: Choice) { responder.write(answers.closing(job, choice)) }

  func end(_ job: Job) {
    guard job.request.isStreamed else {
      return responder.respond(
        200, contentType: "application/json", fields: loadFields(), body: answers.whole(job))
    }
    if job.request.includesUsage { responder.write(answers.usagePiece(job)) }
    responder.write(AnswerText.done)
    responder.end()
  }

  func refuse(_ error: APIError) { error.answer(responder, allow: nil) }

  func fail(_ error: APIError) {
    // Without [DONE] and without the last chunk, no client takes it for a whole answer.
    responder.write(answers.error(error))
    responder.cut()
  }
}
