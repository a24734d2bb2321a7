// A composite accessor: a ticker wired to a printer.
exports.setup = function () {
    var ticker = this.instantiate('Ticker', 'accessors/Ticker');
    var printer = this.instantiate('Printer', 'accessors/Printer');
    this.connect(ticker, 'count', printer, 'input');
};
