import SettingsFile

extension Kind where Value == AccessLogSettings.Destination {
  static var logDestination: Kind {
    .scalar(
      "off, stdout or the path of a file",
      json: [("type", .text("string")), ("pattern", .text("^off$|^stdout$|/|\\$\\{"))],
      show: { destination in
        switch destination {
        case .off: .word("off")
        case .stdout: .word("stdout")
        case .file(let path): .text(path)
        }
      },
      parse: { text in
        switch text {
        case "off": return .value(.off)
        case "stdout": return .value(.stdout)
        default:
          if text.contains("/"), !text.hasSuffix("/"), !text.utf8.contains(0) {
            return .value(.file(path: text))
          }
          if let near = nearest(to: text, among: ["off", "stdout"]) {
            return .problem("cannot be '\(shown(text))'; did you mean '\(near)'?")
          }
          return .problem(
            "must be off, stdout or a path with a '/', such as ./\(shown(text)), not "
              + "'\(shown(text))'")
        }
      })
  }
}
