import SettingsFile

/// A program of several commands: which word means what, and how each ends.
///
/// Exit codes are the ones people script against: 0 done, 1 failed, 2 misused.
package struct Program: Sendable {
  package let name: String
  package let version: String
  package let help: String

  package init(name: String, version: String, help: String) {
    self.name = name
    self.version = version
    self.help = help
  }

  /// One of its commands.
  package struct Command {
    fileprivate let word: String
    /// Not for people: a slip of theirs is not taken for it.
    fileprivate let isHidden: Bool
    fileprivate let run: (Program, [String]) -> Int32

    /// A command that reads its words by itself.
    package static func plain(_ word: String, _ run: @escaping ([String]) -> Int32) -> Command {
      Command(word: word, isHidden: false, run: { _, words in run(words) })
    }

    /// A command with options: help where somebody asks for it, and a word to whom misuses it.
    ///
    /// - Parameter hint: what follows the complaint; the help itself when nil.
    package static func options(
      _ word: String, help: String, hint: String? = nil, isHidden: Bool = false,
      _ run: @escaping (inout Options) throws(Options.Misuse) -> Int32
    ) -> Command {
      Command(
        word: word, isHidden: isHidden,
        run: { program, words in
          var options = Options(words)
          if options.asksForHelp {
            Console.put(help + "\n")
            return 0
          }
          do throws(Options.Misuse) {
            return try run(&options)
          } catch {
            return program.misused(error.problem, help: hint ?? help)
          }
        })
    }
  }

  /// Runs what the arguments say and returns the exit code.
  package func run(_ arguments: [String], _ commands: [Command]) -> Int32 {
    guard let word = arguments.first else {
      Console.printError(help)
      return 2
    }
    if let command = commands.first(where: { $0.word == word }) {
      return command.run(self, Array(arguments.dropFirst()))
    }
    switch word {
    case "version", "--version":
      Console.put("\(name) \(version)\n")
      return 0
    case "help", "--help", "-h":
      Console.put(help)
      return 0
    default:
      let known = commands.filter { !$0.isHidden }.map(\.word) + ["version"]
      let hint = nearest(to: word, among: known).map { "; did you mean '\($0)'?" } ?? ""
      return misused("unknown command '\(word)'\(hint)", help: "\(name) --help lists them")
    }
  }

  /// Says what was wrong with the words, and how they go.
  package func misused(_ problem: String, help: String) -> Int32 {
    Console.printError("\(name): \(problem)\n\(help)\n")
    return 2
  }

  /// Says what went wrong.
  package func failed(_ problem: String) -> Int32 {
    say(problem)
    return 1
  }

  /// Tells the operator.
  package func say(_ sentence: String) { Console.printError("\(name): \(sentence)\n") }
}
