"""Write results/schema.json from the models that read results files: `python -m megbench.commands.results_schema`."""

from megbench.core.files.cache import write_text
from megbench.results.reading import SCHEMA, schema_text


def main() -> None:
    """Write the published JSON Schema of results files."""
    write_text(SCHEMA, schema_text())
    print(SCHEMA)


if __name__ == "__main__":
    main()
