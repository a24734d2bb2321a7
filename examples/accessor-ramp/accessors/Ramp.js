// A counting source: one more each time its interval has passed.
exports.setup = function () {
    this.output('count');
    this.parameter('interval', {'type': 'number', 'value': 200});
};

exports.initialize = function () {
    var self = this;
    var count = 0;
    this.exports.timer = setInterval(function () {
        count += 1;
        self.send('count', count);
    }, this.getParameter('interval'));
};

exports.wrapup = function () {
    clearInterval(this.exports.timer);
};
