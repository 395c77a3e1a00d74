import Glibc
import WorkerCommand

exit(EmbedCommand.run(Array(CommandLine.arguments.dropFirst())))
