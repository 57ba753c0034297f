fn main() -> std::process::ExitCode {
    p9img::cli::main()
}
