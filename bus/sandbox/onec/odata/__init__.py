"""The standard OData interface (version 3) of the stand-in base, as a УТ 11.5 behind a web server shows it."""
