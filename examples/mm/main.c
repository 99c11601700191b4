/* mm: libmm from the command line. Each command is one function; see mm --help. */
#include "mm.h"

#include <string.h>

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const options *o);
    } commands[] = {{"run", cmd_run},           {"transcribe", cmd_transcribe}, {"embed", cmd_embed},     {"score", cmd_score},
                    {"tokenize", cmd_tokenize}, {"info", cmd_info},             {"devices", cmd_devices}, {"bench", cmd_bench}};
    options o;
    parse_args(argc, argv, &o);
    int status = -1;
    for (size_t i = 0; status < 0 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, o.command) == 0) status = commands[i].run(&o);
    if (status < 0) {
        fprintf(stderr, "mm: unknown command %s; see mm --help\n", o.command);
        status = EXIT_USAGE;
    }
    free_args(&o);
    return status;
}
