// qtool completion bash|zsh|fish: a script for the shell, made by walking the declared commands.
#include "cli/command.h"

#include <CLI/CLI.hpp>

namespace qtool::cli {

namespace {

/// "topic create" -> words that may follow: subcommands and option names.
using Words = std::vector<std::pair<std::string, std::string>>; // path, blank separated words

void collect(CLI::App& app, const std::string& path, Words& words) {
    std::string next;
    for (CLI::App* sub : app.get_subcommands({})) {
        next.append(next.empty() ? "" : " ").append(sub->get_name());
    }
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) {
            next.append(next.empty() ? "" : " ").append("--").append(name);
        }
        for (const std::string& name : option->get_snames()) {
            next.append(next.empty() ? "" : " ").append("-").append(name);
        }
    }
    words.emplace_back(path, next);
    for (CLI::App* sub : app.get_subcommands({})) {
        collect(*sub, path + " " + sub->get_name(), words);
    }
}

std::string bash_script(const Words& words) {
    std::string out = "# bash completion of qtool: source <(qtool completion bash)\n"
                      "_qtool() {\n"
                      "    local current=\"${COMP_WORDS[COMP_CWORD]}\" path=qtool word\n"
                      "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
                      "        case \"$path $word\" in\n";
    std::string paths;
    for (const auto& [path, next] : words) {
        if (path != "qtool") {
            paths.append(paths.empty() ? "        " : "|").append("'" + path + "'");
        }
    }
    out.append(paths).append(") path=\"$path $word\" ;;\n        esac\n    done\n"
                             "    local words\n    case \"$path\" in\n");
    for (const auto& [path, next] : words) {
        out.append("    '" + path + "') words='" + next + "' ;;\n");
    }
    out.append(
        "    esac\n"
        "    if [[ \"$path\" == 'qtool topic '* && \"$current\" != -* && \"$path\" != *create "
        "]]; then\n"
        "        words=\"$(qtool --timeout 1 topic list -o text 2>/dev/null | awk 'NR>1{print "
        "$1}')\"\n"
        "    fi\n"
        "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
        "}\ncomplete -o default -F _qtool qtool\n");
    return out;
}

std::string fish_script(const Words& words) {
    std::string out = "# fish completion of qtool: qtool completion fish | source\n"
                      "function __qtool_at\n"
                      "    set -l path qtool\n"
                      "    for word in (commandline -opc)[2..-1]\n"
                      "        switch \"$path $word\"\n            case";
    for (const auto& [path, next] : words) {
        out.append(path == "qtool" ? "" : " '" + path + "'");
    }
    out.append("\n                set path \"$path $word\"\n        end\n    end\n"
               "    test \"$path\" = \"$argv[1]\"\nend\n");
    for (const auto& [path, next] : words) {
        out.append("complete -c qtool -n '__qtool_at \"" + path + "\"' -a '" + next + "'\n");
    }
    return out;
}

} // namespace

void add_completion(CLI::App& root, Run& run) {
    CLI::App* app = root.add_subcommand("completion", "Print a completion script for a shell");
    app->footer("Examples:\n  source <(qtool completion bash)\n"
                "  qtool completion fish > ~/.config/fish/completions/qtool.fish");
    const auto shell = std::make_shared<std::string>();
    app->add_option("SHELL", *shell, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    app->callback([&root, &run, shell] {
        run = [&root, shell](Context& context) {
            Words words;
            collect(root, "qtool", words);
            // zsh runs bash's completion through its own bridge.
            return context.print(*shell == "fish" ? fish_script(words)
                                 : *shell == "bash"
                                     ? bash_script(words)
                                     : "autoload -U +X bashcompinit && bashcompinit\n" +
                                           bash_script(words));
        };
    });
}

} // namespace qtool::cli
