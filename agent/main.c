/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"
#include "config.h"
#include "core/cleanup.h"
#include "self/doctor.h"
#include "self/query.h"

#include <string.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The flags that belong to a command and not to the configuration. */
struct arguments {
	bool help, help_all, json, reference;
	int argc;
	char **argv; /* the rest */
	const char *name; /* what a command takes besides flags; NULL: nothing was given */
};

struct command {
	const char *name;
	const char *summary;
	const char *help; /* what stands above the flags */
	bool flags; /* takes the configuration's flags */
	bool name_taken; /* and a name in front of them */
	int (*run)(const struct arguments *args, const struct config *config);
};

static int run_agent(const struct arguments *args, const struct config *config)
{
	return agent_run(config, args->argc, args->argv);
}

static int run_doctor(const struct arguments *args, const struct config *config)
{
	return doctor_run(config, args->json, stdout);
}

static int run_status(const struct arguments *args, const struct config *config)
{
	return query_status(config->listen, args->name ? args->name : "", stdout, stderr);
}

static int run_check(const struct arguments *args, const struct config *config)
{
	(void)args;
	printf("ok\n");
	config_print(config, stdout);
	return EXIT_OK;
}

static int run_version(const struct arguments *args, const struct config *config)
{
	(void)args;
	(void)config;
	printf("weft %s\n", WEFT_VERSION);
	return EXIT_OK;
}

static const struct command commands[] = {
	{"run", "trace this host until stopped",
		"usage: weft run [flags]\n"
		"\n"
		"Attaches to the socket calls of this host's processes and exports their HTTP\n"
		"traffic as OpenTelemetry traces. Needs root or the capabilities that\n"
		"`weft doctor` names. SIGHUP reloads selection, sampling, redaction and log\n"
		"level; SIGTERM sends what is left, then ends.\n"
		"\n"
		"  weft run                                          traces as trees, here\n"
		"  weft run --include exe=nginx --include port=8080  only these\n"
		"  weft run --otlp-endpoint http://collector:4318    to a collector\n"
		"\n"
		"exit: 0 stopped as asked, 1 failed (the log's last line says why), 2 bad usage\n"
		"or configuration\n",
		true, false, run_agent},
	{"doctor", "say what this kernel and these capabilities allow",
		"usage: weft doctor [--json] [flags]\n"
		"\n"
		"Tries what weft needs of the kernel, says what is missing and how to grant it,\n"
		"and which hooks `weft run` would use with the same flags; in a pod also what the\n"
		"API server answers, and whether the pod has what the chart asks for. Changes\n"
		"nothing.\n"
		"\n"
		"  sudo weft doctor\n"
		"  weft doctor --json | jq .verdict\n"
		"\n"
		"exit: 0 all good, 2 bad usage or configuration, 3 works with limits,\n"
		"4 cannot trace\n"
		"\n"
		"  --json                    one JSON object, for scripts\n",
		true, false, run_doctor},
	{"status", "show what the weft that runs here traces, and what not, and why",
		"usage: weft status [NAME] [flags]\n"
		"\n"
		"Asks the weft that runs on this host, at `listen`, with the same configuration:\n"
		"its hooks, exporters and API server, then a line for each container (or program)\n"
		"with the reason why it is traced or is not. NAME: only pods, or programs outside\n"
		"of pods, that have it in their name.\n"
		"\n"
		"  weft status\n"
		"  kubectl -n weft exec ds/weft -- weft status payments\n"
		"\n"
		"UNREADABLE: connections it serves now that are not understood (TLS, or another\n"
		"protocol). exit: 0, 1 nobody answers, 2 bad usage or configuration\n",
		true, true, run_status},
	{"check-config", "check the configuration and print it as it takes effect",
		"usage: weft check-config [flags]\n"
		"\n"
		"Reads file, environment and flags as `weft run` would, and prints every option,\n"
		"its value and where that came from. Secrets are masked.\n"
		"\n"
		"  weft check-config --config /etc/weft.yaml\n"
		"\n"
		"exit: 0 valid, 2 not (each error with its file and line)\n"
		"\n"
		"  --reference               print the table of all options in Markdown\n",
		true, false, run_check},
	{"version", "print the version", "usage: weft version\n", false, false, run_version},
};

static void print_usage(FILE *out)
{
	fprintf(out,
		"weft %s: distributed tracing of this host with no change to any application\n"
		"\n"
		"usage: weft COMMAND [flags]\n"
		"\n",
		WEFT_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-14s%s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n"
		     "start with:  sudo weft doctor, then  sudo weft run\n"
		     "more:        weft COMMAND --help\n");
}

static void print_help(const struct command *command, bool all)
{
	printf("%s", command->help);
	if (!command->flags)
		return;
	printf("\n%s\n", all ? "flags [key in YAML, environment variable]:"
			     : "flags (all, with their environment variables: --help-all):");
	config_print_flags(stdout, all);
}

/* Takes the command's own flags out of argv, in place. */
static struct arguments take_arguments(int argc, char **argv)
{
	struct arguments args = {.argv = argv};

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			args.help = true;
		else if (strcmp(argv[i], "--help-all") == 0)
			args.help = args.help_all = true;
		else if (strcmp(argv[i], "--json") == 0)
			args.json = true;
		else if (strcmp(argv[i], "--reference") == 0)
			args.reference = true;
		else
			argv[args.argc++] = argv[i];
	}
	return args;
}

static int print_errors(const struct config_errors *errors)
{
	for (unsigned i = 0; i < errors->n; i++)
		fprintf(stderr, "weft: %s\n", errors->text[i]);
	if (errors->further)
		fprintf(stderr, "weft: and %u further errors\n", errors->further);
	return EXIT_USAGE;
}

static int refuse(const struct command *command, const char *what)
{
	fprintf(stderr, "weft: %s: unknown flag of %s (weft %s --help)\n", what, command->name,
		command->name);
	return EXIT_USAGE;
}

static int run_command(const struct command *command, int argc, char **argv)
{
	const char *name = command->name_taken && argc && argv[0][0] != '-' ? argv[0] : NULL;
	struct arguments args = take_arguments(argc - !!name, argv + !!name);
	_free_ struct config *config = calloc(1, sizeof(*config));
	_free_ struct config_errors *errors = calloc(1, sizeof(*errors));

	args.name = name;
	if (!config || !errors) {
		fprintf(stderr, "weft: out of memory\n");
		return EXIT_FAILED;
	}
	if (args.help) {
		print_help(command, args.help_all);
		return EXIT_OK;
	}
	if (args.json && command->run != run_doctor)
		return refuse(command, "--json");
	if (args.reference && command->run != run_check)
		return refuse(command, "--reference");
	if (!command->flags && args.argc)
		return refuse(command, args.argv[0]);
	if (args.reference) {
		config_print_reference(stdout);
		return EXIT_OK;
	}
	if (command->flags && config_load(args.argc, args.argv, config, errors) < 0)
		return print_errors(errors);
	return command->run(&args, config);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_usage(stdout);
		return EXIT_OK;
	}
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return run_command(&commands[i], argc - 2, argv + 2);
	if (*name)
		fprintf(stderr, "weft: %s: unknown command\n", name);
	print_usage(stderr);
	return EXIT_USAGE;
}
