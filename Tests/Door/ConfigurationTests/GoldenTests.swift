import Glibc
import Testing

@testable import Configuration
@testable import SettingsFile

private let goldenFolder = repository + "/Tests/Door/ConfigurationTests/Golden"

private let goldenNames: [String] = {
  var names: [String] = []
  let directory = opendir(goldenFolder)!
  defer { closedir(directory) }
  while let entry = readdir(directory) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name.hasSuffix(".yaml") { names.append(String(name.dropLast(5))) }
  }
  return names.sorted()
}()

@Suite struct GoldenTests {
  // A complaint that names the wrong place, or not what to type, leaves an operator alone at night.
  // After a wording was changed on purpose: PORTICO_WRITE_GOLDEN=1 swift test --filter Golden
  @Test(arguments: goldenNames) func complaints(name: String) {
    let result = ConfigurationLoader(resolve: testAnswers).load(
      path: "\(goldenFolder)/\(name).yaml", environment: testEnvironment)
    let lines = result.lines.map { $0.replacing(goldenFolder + "/", with: "") + "\n" }.joined()
    if getenv("PORTICO_WRITE_GOLDEN") != nil {
      let file = fopen("\(goldenFolder)/\(name).txt", "w")!
      fputs(lines, file)
      fclose(file)
    }
    #expect(lines == text(of: "\(goldenFolder)/\(name).txt"))
    #expect(!lines.isEmpty, "a golden file without a complaint tests nothing")
  }

  // Files that are lost with the directory would make the test above pass on nothing.
  @Test func areThere() {
    #expect(goldenNames.count > 20)
  }
}
