import HTTP
import HTTPServer

/// The handler behind the admin's HTTP server.
extension AdminHandler: HTTPHandler {
  package func handle(_ request: borrowing HTTPRequest, _ responder: HTTPResponder) {
    let asked = AdminRequest(
      method: request.method.name.description, target: request.path, host: request.field("host"),
      origin: request.field("origin"), authorization: request.field("authorization"))
    answer(asked) { answer in
      responder.respond(
        answer.status, contentType: answer.content.rawValue,
        fields: answer.fields.map { ($0.name, $0.value) }, body: answer.body)
    }
  }
}
