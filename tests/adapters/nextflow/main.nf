nextflow.enable.dsl = 2

params.reads = 3
params.break = false

process ALIGN {
    tag "s$sample"
    errorStrategy { task.attempt < 2 ? 'retry' : 'finish' }

    input: val sample
    output: val sample
    script:
    """
    if [ $sample = 2 ] && [ $task.attempt = 1 ]; then echo 'first try' >&2; exit 137; fi
    if [ $params.break = true ] && [ $sample = 3 ]; then echo 'for good' >&2; exit 3; fi
    """
}

process PREP {
    input: val sample
    output: val sample
    script: "true"
}

process REPORT {
    errorStrategy 'ignore'
    input: val samples
    script: "exit 4"
}

workflow QC {
    take: samples
    main: PREP(samples)
    emit: PREP.out
}

workflow {
    ALIGN(Channel.of(1..params.reads))
    QC(ALIGN.out)
    REPORT(QC.out.collect())
}
