import Glibc
import JSON
import Testing

@testable import ChatTemplate

let goldens =
  #filePath.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/Goldens"

/// The time at which the goldens were made.
let now = WallTime(year: 2026, month: 7, day: 4, hour: 9, minute: 5, second: 3)

func contents(of path: String) throws -> [UInt8] {
  let file = try #require(fopen(path, "r"), "cannot read \(path)")
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = fread(&buffer, 1, buffer.count, file)
    if count <= 0 { return bytes }
    bytes += buffer[..<count]
  }
}

extension OrderedJSON {
  var text: String? {
    guard case .string(let bytes) = self else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  var members: [Member] {
    guard case .object(let members) = self else { return [] }
    return members
  }

  var elements: [OrderedJSON] {
    guard case .array(let elements) = self else { return [] }
    return elements
  }
}

/// What a rendering came to, for comparing.
enum Outcome: Equatable, CustomStringConvertible {
  case text(String)
  case complaint(TemplateComplaint.Kind, String)

  var description: String {
    switch self {
    case .text(let text): "text \(text.debugDescription)"
    case .complaint(let kind, let message): "\(kind): \(message)"
    }
  }
}

/// Renders with no messages but these variables.
func outcome(
  _ template: String, _ variables: String = "{}", limits: TemplateLimits = TemplateLimits()
) -> Outcome {
  do throws(TemplateComplaint) {
    var input = try ChatInput(messagesJSON: Array("[]".utf8), now: now)
    input.extra = try OrderedJSON(Array(variables.utf8)).members
    return outcome(template, input, limits: limits)
  } catch {
    return .complaint(error.kind, error.message)
  }
}

func outcome(
  _ template: String, _ input: ChatInput, limits: TemplateLimits = TemplateLimits()
) -> Outcome {
  do throws(TemplateComplaint) {
    let template = try ChatTemplate(template, limits: limits)
    return .text(try template.render(input).map(\.text).joined())
  } catch {
    return .complaint(error.kind, error.message)
  }
}
