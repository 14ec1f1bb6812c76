"""What each permission means, for the docs and the pages."""

MEANINGS = {
    "call": "ask models and sequences, see their metadata; send exchanges of external models",
    "view": "definitions, health, verdicts, incidents, figures of reports",
    "read": "single rows: request logs, samples, labels, reports and explanations of rows",
    "analyze": "start analyses and explanations, push labels, schedule analyses",
    "respond": "acknowledge, silence and resolve incidents; set rules",
    "diagnose": "logs of builds, services and analyses; what the collector set aside",
    "develop": "build and delete versions, attach metrics",
    "operate": "aliases, sequences, services, deployments, notification targets, deletion of models",
    "administer": "keys, grants, blocks, audit",
}
