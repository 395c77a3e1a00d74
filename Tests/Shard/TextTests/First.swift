import Testing
@testable import Text
@Test func x() {}
